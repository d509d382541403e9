"""Hashes of files: read once a process, and not at all where a file's name is its hash.

Comes in: a path. Goes out: SHA-256 in hexadecimal. Imports no other room.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path

SHA256 = re.compile(r"[0-9a-f]{64}")


def sha256(path: Path) -> str:
    """Hash a file; remembered for this process as long as its size and time of change stay the same.

    What the hub's cache names by its hash is not read again.
    """
    stat = path.stat()
    return _named(path) or _sha256(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: str, _size: int, _mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(path: Path) -> str:
    """Return the SHA-256 that the hub's cache names a big file by; "" for small ones (a git hash) and elsewhere."""
    blob = path.resolve() if path.is_symlink() else path
    return blob.name if blob.parent.name == "blobs" and SHA256.fullmatch(blob.name) else ""
