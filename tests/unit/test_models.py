"""A model that cannot be used is refused before an engine starts, by the name of the file that is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from quant.errors import ModelError
from quant.inputs import models
from quant.records import Model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder as far as its files go."""
    (tmp_path / "config.json").write_text("{}")
    save_file({"weight": np.ones((64, 64), np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def complaint(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        models.inspect(folder, model="small")
    return str(caught.value)


def test_a_complete_folder_is_hashed(folder: Path) -> None:
    assert sorted(models.inspect(folder, model="small").files) == ["config.json", "model.safetensors"]


def test_prose_is_no_part_of_a_models_identity(folder: Path) -> None:
    before = models.inspect(folder, model="small").files
    (folder / "README.md").write_text("words")
    assert models.inspect(folder, model="small").files == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "no such folder" in complaint(tmp_path / "nowhere")


def test_a_folder_without_config_is_no_model(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "holds no config.json" in complaint(folder)


def test_a_truncated_file_is_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert f"{file} is truncated" in complaint(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "are pickles (pytorch_model.bin)" in complaint(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names model-00001-of-00002.safetensors, which is missing" in complaint(folder)


def test_a_folder_has_no_revision() -> None:
    model = Model(id="small", source="models/small", revision="abc", context_tokens=512)
    with pytest.raises(ModelError, match="has no revision; remove `revision = 'abc'`"):
        models.locate(model)


def test_a_revision_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = Model(id="big", source="hub:nobody/nothing", revision="0123abc", context_tokens=512)
    with pytest.raises(ModelError, match="nobody/nothing at revision 0123abc was found neither"):
        models.locate(model)
