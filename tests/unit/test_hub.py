"""A model of the hub is named by its commit: found in the hub's cache, part of every key, wanted before a release."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import save_file

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import ModelError, UsageError
from quant.inputs import calibration, hub, models
from quant.inputs.run import Inputs
from quant.matrix import BASE, PROFILES, Cell
from quant.records import Calibration, Hardware, Model, Shape
from quant.store import Store

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BIG = "ab" * 32  # what the hub says that the big file's SHA-256 is
MODEL = Model(id="small", source="hub:someone/small", revision="main", context_tokens=512)
CPU = Hardware(kind="cpu-generic", name="any", devices=1, capabilities=frozenset())
MATRIX = reading.load(DEFAULT_MATRIX)
TASK = MATRIX.tasks["facts"]
SHAPE = Shape(parameters=1, linear=1, layers=1, kv_heads=1, head_dim=1)


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache in its own layout, which holds one model at one commit, on a machine without network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--small"
    snapshot = repository / "snapshots" / COMMIT
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    (repository / "blobs" / ("c" * 40)).write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    save_file({"weight": np.ones((4, 4), np.float32)}, repository / "blobs" / BIG)
    (snapshot / "config.json").symlink_to(repository / "blobs" / ("c" * 40))
    (snapshot / "model.safetensors").symlink_to(repository / "blobs" / BIG)
    return snapshot


def inputs() -> Inputs:
    return Inputs(MATRIX, CPU)


def test_a_branch_is_recorded_as_the_commit_that_it_stands_for() -> None:
    assert inputs().base(MODEL).revision == COMMIT


def test_a_commit_is_found_by_its_own_name(cached: Path) -> None:
    assert models.locate(replace(MODEL, revision=COMMIT)) == cached


def test_a_revision_may_stand_behind_the_name(cached: Path) -> None:
    assert models.locate(replace(MODEL, source=f"hub:someone/small@{COMMIT}", revision="")) == cached


def test_big_files_are_named_by_the_hubs_hash_and_not_read() -> None:
    assert inputs().base(MODEL).files["model.safetensors"] == BIG


def test_small_files_are_hashed_here() -> None:
    assert len(inputs().base(MODEL).files["config.json"]) == 64


def test_the_commit_is_part_of_a_checkpoints_key() -> None:
    assert inputs().checkpoint_key(MODEL, MATRIX.formats["fp8-dynamic"])["revision"] == [COMMIT]


def test_the_commit_is_part_of_a_scores_key() -> None:
    made = inputs()
    assert made.scores_key(MODEL, TASK, made.base(MODEL), "hf")["revision"] == [COMMIT]


def test_the_commit_of_the_base_is_part_of_the_key_of_what_was_made_from_it() -> None:
    made = inputs()
    quantized = replace(made.base(MODEL), revision="", format="fp8-dynamic")
    assert made.scores_key(MODEL, TASK, quantized, "hf")["revision"] == [COMMIT]


def test_the_key_of_a_folder_names_no_commit() -> None:
    assert "revision" not in inputs().checkpoint_key(MATRIX.models["ref-0.6m"], MATRIX.formats["fp8-dynamic"])


def test_a_release_wants_commits() -> None:
    assert [name for name, profile in PROFILES.items() if profile.pinned] == ["release"]


def test_a_branch_is_refused_where_a_commit_is_wanted_and_the_commit_is_named() -> None:
    with pytest.raises(ModelError, match=rf"found the revision 'main', which stands for {COMMIT} now; write `revision"):
        inputs().check([Cell(model=MODEL, format=BASE, task=TASK)], pinned=True)


def test_a_branch_whose_commit_is_not_known_is_refused_too() -> None:
    with pytest.raises(ModelError, match=r"'next', which stands for a commit that is not known here; write `revision"):
        models.pin("model 'small'", MODEL.source, "next")


def test_a_short_commit_is_no_full_one() -> None:
    with pytest.raises(ModelError, match="found the revision '0123456'"):
        models.pin("model 'small'", MODEL.source, COMMIT[:7])


def test_a_given_checkpoint_on_a_branch_is_refused_where_a_commit_is_wanted() -> None:
    fmt = replace(MATRIX.formats["fp8-dynamic"], checkpoint="hub:someone/small")
    pinned = replace(MODEL, revision=COMMIT)
    with pytest.raises(ModelError, match=f"format 'fp8-dynamic': .*write hub:someone/small@{COMMIT}"):
        inputs().check([Cell(model=pinned, format=fmt, task=TASK)], pinned=True)


@pytest.mark.parametrize("source", [f"hub:someone/small@{COMMIT}", "models/small", ""])
def test_a_commit_and_a_folder_are_pinned(source: str) -> None:
    models.pin("model 'small'", source)


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """The hub's cache with a data set too, at one commit."""
    repository = tmp_path / "datasets--someone--texts"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    (snapshot / "all.jsonl").write_text('{"text": "a"}\n')
    return repository


CALIBRATED = replace(
    MODEL, revision=COMMIT, calibration=Calibration(texts="hub:someone/texts", revision="main", samples=1, tokens=8)
)
INT8 = MATRIX.formats["int8-w8a8"]


@pytest.mark.usefixtures("data_set")
def test_the_commit_of_calibration_texts_is_part_of_a_checkpoints_key(tmp_path: Path) -> None:
    key = Inputs(MATRIX, CPU, store=Store(tmp_path / "store")).checkpoint_key(CALIBRATED, INT8)
    assert key["calibration"][1:] == [1, 8, COMMIT]


@pytest.mark.usefixtures("data_set")
def test_calibration_texts_on_a_branch_are_refused_where_a_commit_is_wanted_and_the_commit_is_named() -> None:
    with pytest.raises(
        ModelError, match=rf"calibration: someone/texts: .*'main', which stands for {COMMIT} now; write"
    ):
        inputs().check([Cell(model=CALIBRATED, format=INT8, task=TASK)], pinned=True)


@pytest.mark.usefixtures("data_set")
def test_calibration_texts_at_a_commit_are_pinned(tmp_path: Path) -> None:
    texts = Calibration(texts=f"hub:someone/texts@{COMMIT}", samples=1, tokens=8)
    cell = Cell(model=replace(CALIBRATED, calibration=texts), format=INT8, task=TASK)
    Inputs(MATRIX, CPU, store=Store(tmp_path / "store")).check([cell], pinned=True)


def test_calibration_texts_that_are_not_in_the_cache_are_refused_before_the_model_is_looked_for(tmp_path: Path) -> None:
    cell = Cell(model=replace(CALIBRATED, source="hub:someone/else", shape=SHAPE), format=INT8, task=TASK)
    with pytest.raises(
        ModelError, match="small-int8-w8a8: someone/texts at revision main was found neither in the hub"
    ):
        Inputs(MATRIX, CPU, store=Store(tmp_path / "store")).check([cell])


def test_a_calibration_file_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "a"}\n')
    texts = Calibration(texts=str(tmp_path / "texts.jsonl"), revision="main", samples=1, tokens=8)
    with pytest.raises(UsageError, match="has no revision; remove `revision = 'main'`"):
        inputs().calibration(replace(MODEL, calibration=texts), INT8)


def test_a_revision_belongs_to_the_texts_beside_it() -> None:
    fmt = replace(INT8, calibration=Calibration(texts="hub:someone/others"))
    found = calibration.stated(CALIBRATED, fmt)
    assert found == Calibration(texts="hub:someone/others", samples=1, tokens=8)


@pytest.mark.parametrize("source", ["hub:a/b", "s3://bucket/model", "memory://texts.jsonl", "zip::https://host/a.zip"])
def test_the_hub_and_file_systems_lie_elsewhere(source: str) -> None:
    assert hub.elsewhere(source)


@pytest.mark.parametrize("source", ["models/a", "C:\\models\\a", "C:/models/a", "runs/12:30/model", "model:v2", ""])
def test_a_path_with_a_colon_is_a_path(source: str) -> None:
    assert not hub.elsewhere(source)
