"""`python -m quant cache`: what the store holds, whether it is sound, and making room in it.

Comes in: a `Store`. Goes out: lines for a terminal. Deletes only in `prune`, least recently used first.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from quant.store import MANIFEST, damage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quant.store import Manifest, Store

DAY_SECONDS = 86_400


def listing(store: Store) -> Iterator[str]:
    """Yield a line an entry, newest first, then the total."""
    entries = store.manifests()
    for folder, manifest in entries:
        age = (time.time() - manifest.created) / DAY_SECONDS
        yield f"{manifest.kind:12} {manifest.label:44} {size(manifest):>14,} bytes {age:7.1f} days  {folder.name}"
    yield f"{len(entries)} entries, {sum(size(manifest) for _, manifest in entries):,} bytes in {store.root}"


def verify(store: Store) -> list[str]:
    """Hash every payload; return a line for each entry that differs from its manifest."""
    found = [(folder, damage(folder, manifest)) for folder, manifest in store.manifests()]
    return [f"{folder}: {problem}" for folder, problem in found if problem]


def prune(store: Store, keep_bytes: int) -> list[str]:
    """Delete what was set aside as corrupt, then the least recently used entries, until `keep_bytes` are left."""
    for aside in store.root.glob("tmp/corrupt-*"):
        shutil.rmtree(aside)
    entries = sorted(store.manifests(), key=lambda entry: last_use(entry[0]))
    left, gone = sum(size(manifest) for _, manifest in entries), []
    for folder, manifest in entries:
        if left <= keep_bytes:
            break
        (folder / MANIFEST).unlink()  # first, so that a kill leaves no half entry that looks whole
        shutil.rmtree(folder)
        left -= size(manifest)
        gone.append(f"deleted {manifest.kind} {manifest.label}, {size(manifest):,} bytes")
    return gone


def size(manifest: Manifest) -> int:
    """Bytes of an entry's payload."""
    return sum(count for _, count in manifest.files.values())


def last_use(folder: Path) -> float:
    """When an entry was last served."""
    return (folder / MANIFEST).stat().st_mtime
