"""Files that lie elsewhere: fetched once into the store, whole or not at all, then used like files of this machine.

Comes in: a URL of any file system that fsspec knows, or a data set of the hub. Goes out: a local file or folder; a
`UsageError` if a package is missing or nothing is reached. Imports no torch and no datasets.
"""

from __future__ import annotations

import json
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from quant.errors import UsageError
from quant.inputs import hub
from quant.redaction import redact
from quant.store import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quant.records import Calibration
    from quant.store import Store

KIND, PAYLOAD = "sources", "files"  # of the store's entries; a payload lies beside its manifest, not around it
BUSY_SECONDS = 0.5


def is_url(source: str) -> bool:
    """Say whether a source names a file system, such as `s3://bucket/model`; `hub:` is none."""
    return hub.elsewhere(source) and not source.startswith(hub.HUB)


def fetch(url: str, store: Store, where: str) -> Path:
    """Return the local copy of a URL's file or folder. It is fetched once: prune the store to fetch it again."""
    return _kept({"url": redact(url)}, store, lambda target: _copy(url, target, where))


def kept(url: str, store: Store) -> Path | None:
    """Return the local copy of a URL's file or folder if there is one; fetches nothing."""
    folder = store.find(KIND, {"url": redact(url)})
    return folder / PAYLOAD if folder else None


def texts(calibration: Calibration, store: Store, where: str) -> Calibration:
    """Return a calibration whose texts are a JSONL file here: that of a URL, or the rows of a hub's data set.

    Of a data set, `revision` is then the commit that it stood for.
    """
    source = calibration.texts
    if is_url(source):
        return replace(calibration, texts=str(fetch(source, store, where)))
    folder = hub.Repository.of(source, calibration.revision).folder(where, kind="dataset")
    commit = hub.commit(folder)
    key = {"data_set": source.partition("@")[0], "commit": commit}
    file = _kept(key, store, lambda target: _write(folder, target, where))
    return replace(calibration, texts=str(file), revision=commit)


def _kept(key: dict[str, Any], store: Store, make: Callable[[Path], None]) -> Path:
    """Return an entry of the store, made by one session while the others wait for it."""
    while True:
        try:
            if folder := store.find(KIND, key):
                return folder / PAYLOAD
            with store.locked((KIND, key)), store.workspace() as space:
                make(space / PAYLOAD)
                return store.commit(KIND, next(iter(key.values())), key, space) / PAYLOAD
        except Busy:
            time.sleep(BUSY_SECONDS)


def _copy(url: str, target: Path, where: str) -> None:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
        if system.info(path)["type"] != "directory":
            system.get_file(path, str(target))
            return
        for name in system.find(path):
            inner = PurePosixPath(name).relative_to(path)
            (target / inner).parent.mkdir(parents=True, exist_ok=True)
            system.get_file(name, str(target / inner))
    except ImportError as error:
        raise UsageError(f"{where}: {url}: a package is missing for this protocol: {error}") from None
    except Exception as error:  # noqa: BLE001 - each file system has errors of its own, and their chains may hold keys
        found = f"{type(error).__name__}: {error}"
        raise UsageError(f"{where}: {url} was not fetched ({found}); check address, network, credentials") from None


def _write(folder: Path, target: Path, where: str) -> None:
    found = [text for file in _tables(folder) for row in _rows(file) if (text := _text(row))]
    if not found:
        raise UsageError(f"{where}: {folder} has no *.jsonl or *.parquet with `text` or `messages` in its rows")
    target.write_text("".join(json.dumps({"text": text}) + "\n" for text in found), encoding="utf-8")


def _tables(folder: Path) -> list[Path]:
    """Return a data set's files; those of the split `train` if files are named after splits."""
    found = sorted(file for end in ("jsonl", "parquet") for file in folder.rglob(f"*.{end}"))
    return [file for file in found if "train" in file.name] or found


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".jsonl":
        yield from (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        return
    from pyarrow.parquet import ParquetFile

    for batch in ParquetFile(file).iter_batches():
        yield from batch.to_pylist()


def _text(row: dict[str, Any]) -> str:
    """Return a row's text, or the turns of its conversation with blank lines between them."""
    turns = row.get("messages") or ()
    return str(row.get("text") or "\n\n".join(str(turn["content"]) for turn in turns))
