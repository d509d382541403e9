"""The store: results found again by a hash of everything that can change them.

Comes in: a kind, the inputs of a key, a function that makes the payload. Goes out: the payload's folder.
An entry is `<root>/<kind>/<key>/` with its payload and, written last, `manifest.json`; an entry that grows has parts,
`<root>/<kind>/<key>/<part>/`. Makers work in `<root>/tmp`
and the folder is renamed into place under a file lock, so two sessions do the work once and a kill at any moment
leaves the store sound. A corrupt entry is reported, moved out of the way and made again, never served.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
import warnings
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from filelock import FileLock, Timeout

from quant.hashes import sha256
from quant.records import SCHEMA, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST = "manifest.json"
SHORT = 24  # characters of a value in an explanation


class Manifest(Record, frozen=True, kw_only=True):
    """What an entry is and how it came about; `label` names it for people, `files` maps names to hash and bytes."""

    kind: str
    label: str
    key: str
    inputs: dict[str, Any]
    files: dict[str, tuple[str, int]]
    created: float
    schema: int = SCHEMA


class CorruptEntryWarning(UserWarning):
    """An entry's payload differs from its manifest: it is set aside and made again."""


class Busy(Exception):  # noqa: N818 - a state, not an error
    """Another session is making an entry: come back later."""


def key_of(inputs: dict[str, Any]) -> str:
    """Hash of a key's inputs: canonical JSON, sorted, so that the order of writing does not matter."""
    return hashlib.sha256(msgspec.json.encode(inputs, order="deterministic")).hexdigest()[:32]


class Store:
    """Entries below `root`; safe for any number of processes on one file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("tmp", "locks", "logs"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def find(self, kind: str, inputs: dict[str, Any]) -> Path | None:
        """Return the payload's folder if the entry is complete and sound."""
        return self._sound(self.root / kind / key_of(inputs))

    def parts(self, kind: str, inputs: dict[str, Any]) -> list[Path]:
        """Return the folders of an entry's parts that are complete and sound, by name."""
        folders = sorted((self.root / kind / key_of(inputs)).glob("*"))
        return [sound for folder in folders if (sound := self._sound(folder))]

    def _sound(self, folder: Path) -> Path | None:
        manifest = read_manifest(folder)
        if manifest is None:
            return None
        if problem := damage(folder, manifest):
            aside = self.root / "tmp" / f"corrupt-{folder.name}-{uuid.uuid4().hex[:8]}"
            warnings.warn(f"{folder}: {problem}; moved to {aside} and made again", CorruptEntryWarning, stacklevel=2)
            with suppress(FileNotFoundError):  # another session was quicker
                folder.rename(aside)
            return None
        os.utime(folder / MANIFEST)  # last use, for pruning
        return folder

    @contextmanager
    def locked(self, *keys: tuple[str, dict[str, Any]]) -> Iterator[None]:
        """Hold the locks of some entries; raises `Busy` at once if another session or thread has one of them."""
        names = sorted(f"{kind}-{key_of(inputs)}" for kind, inputs in keys)
        with ExitStack() as stack:
            for name in names:
                try:
                    stack.enter_context(FileLock(self.root / "locks" / f"{name}.lock", timeout=0))
                except Timeout as error:
                    raise Busy(name) from error
            yield

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Yield an empty folder on the store's file system; what is left in it afterwards goes away."""
        folder = self.root / "tmp" / uuid.uuid4().hex
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, kind: str, label: str, inputs: dict[str, Any], payload: Path, *, part: str = "") -> Path:
        """Move a finished payload into place and write its manifest last. The caller holds the entry's lock."""
        key = key_of(inputs)
        folder = self.root / kind / key / part
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():  # a payload without manifest: its maker was killed
            shutil.rmtree(folder)
        payload.rename(folder)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        manifest = Manifest(
            kind=kind,
            label=label,
            key=key,
            inputs=inputs,
            files={str(p.relative_to(folder)): (sha256(p), p.stat().st_size) for p in files},
            created=time.time(),
        )
        unfinished = folder / f"{MANIFEST}.tmp"
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        unfinished.rename(folder / MANIFEST)
        return folder

    def manifests(self) -> list[tuple[Path, Manifest]]:
        """Return every complete entry, newest first."""
        folders = [file.parent for way in ("*/*", "*/*/*") for file in self.root.glob(f"{way}/{MANIFEST}")]
        found = [(folder, manifest) for folder in folders if (manifest := read_manifest(folder)) is not None]
        return sorted(found, key=lambda entry: -entry[1].created)

    def explain(self, kind: str, label: str, inputs: dict[str, Any]) -> str:
        """Say what changed since the newest entry of that name, e.g. `versions.torch 2.12.0 -> 2.13.0`; "" if none."""
        for _, manifest in self.manifests():
            if (manifest.kind, manifest.label) == (kind, label):
                return ", ".join(differences(manifest.inputs, inputs))
        return ""


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """List what differs between two keys' inputs, by dotted name."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new})
        return [
            line for name in names for line in differences(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
        ]
    return [] if old == new else [f"{where} {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}..."


def read_manifest(folder: Path) -> Manifest | None:
    """Return an entry's manifest; None if it has none or one that cannot be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return None


def damage(folder: Path, manifest: Manifest) -> str:
    """Say how a payload differs from its manifest; "" if it does not."""
    for name, (digest, size) in manifest.files.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size:,} bytes instead of {size:,}"
        if sha256(file) != digest:
            return f"{name} has another hash than its manifest"
    return ""
