"""A model's folder: found, checked and hashed before anything expensive starts.

Comes in: a `Model` or a folder. Goes out: the folder, its files with hashes, as a `Checkpoint`. Imports no torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from quant.errors import ModelError
from quant.hashes import sha256
from quant.inputs import hub
from quant.records import Checkpoint

if TYPE_CHECKING:
    from quant.records import Model

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# Read by people, not by an engine: they change no number, so they are not part of a key.
PROSE = (".md", ".txt", ".log")


def locate(model: Model) -> Path:
    """Return the local folder of `model`; a hub source is looked up in (or brought into) the hub's cache."""
    if model.source.startswith(hub.HUB):
        return hub.Repository.of(model.source, model.revision).folder(f"model {model.id!r}")
    if model.revision:
        msg = f"model {model.id!r}: a folder ({model.source}) has no revision; remove `revision = {model.revision!r}`"
        raise ModelError(msg)
    return Path(model.source)


def pin(where: str, source: str, revision: str = "", kind: hub.Kind = "model") -> None:
    """Raise `ModelError` if `source` is on the hub, but not named by a full commit; fetches nothing."""
    if not source.startswith(hub.HUB) or (wanted := hub.Repository.of(source, revision)).pinned:
        return
    now = wanted.commit(kind)
    known = f"stands for {now} now" if now else "stands for a commit that is not known here"
    change = f'`revision = "{now or "<commit>"}"`' if revision else f"{hub.HUB}{wanted.name}@{now or '<commit>'}"
    raise ModelError(
        f"{where}: {wanted.name}: this gate profile wants a full commit (40 hex digits), found the revision"
        f" {wanted.revision!r}, which {known}; write {change}, or choose another profile by `--gate`"
    )


def inspect(folder: Path, *, model: str, fmt: str = "bf16") -> Checkpoint:
    """Check that `folder` holds a complete model in safetensors and hash every file that can move a number.

    A folder of the hub's cache has a commit. `ModelError` names the file that is missing, truncated or a pickle.
    """
    where = f"model {model!r}" if fmt == "bf16" else f"{model} {fmt}"
    if not folder.is_dir():
        raise ModelError(f"{where}: no such folder: {folder}; check `source` in the matrix")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{where}: {folder} holds no config.json, so it is not a model folder")
    tensors = weights(folder, where)
    for file in tensors:
        _check_safetensors(file, where)
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix not in PROSE)
    return Checkpoint(
        model=model,
        format=fmt,
        path=str(folder),
        files={p.name: sha256(p) for p in files},
        tensor_bytes=sum(p.stat().st_size for p in tensors),
        revision=hub.commit(folder),
    )


def weights(folder: Path, where: str) -> list[Path]:
    """Return the safetensors files that an engine loads: those of the index, else all. `ModelError` if none."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        if lost := [name for name in shards if not (folder / name).is_file()]:
            raise ModelError(f"{where}: {index.name} names {lost[0]}, which is missing in {folder}")
        return [folder / name for name in shards]
    if found := sorted(folder.glob("*.safetensors")):
        return found
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
    if pickles:
        msg = f"{where}: the weights in {folder} are pickles ({pickles[0]}), which can run code when loaded; convert: "
        raise ModelError(
            msg + "AutoModelForCausalLM.from_pretrained(...).save_pretrained(..., safe_serialization=True)"
        )
    raise ModelError(f"{where}: no *.safetensors in {folder}")


def _check_safetensors(file: Path, where: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            tensors.keys()
    except (SafetensorError, OSError) as error:
        msg = f"{where}: {file} is truncated or not a safetensors file ({error}); fetch it again"
        raise ModelError(msg) from error
