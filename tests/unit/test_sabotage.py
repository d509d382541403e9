"""A sabotage does what its name says and no more; a control changes bytes and no number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec import structs
from safetensors.numpy import load_file, save_file

from fixtures.sabotage import edits, rows, texts
from fixtures.sabotage.catalogue import CONTROLS, SABOTAGES
from quant.errors import PairingError
from quant.judge.pairs import Pair
from quant.scores import Item, Scores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fixtures.sabotage.catalogue import Sabotage

SCORES = Scores(
    model="small",
    format="int8",
    task="sums",
    metric="acc",
    filter="none",
    backend="vllm",
    items=tuple(Item(doc_hash=f"d{n}", prompt_hash=f"p{n}", target_hash="t", score=1.0) for n in range(3)),
    planned=3,
    seconds=1.0,
    load_seconds=1.0,
    started=0.0,
)
# Zero points 0..7 of one packed column: four bits each, the first row lowest; then eight times 15.
PACKED = np.array([[0x76543210], [0xFFFFFFFF]], np.uint32).view(np.int32)
ZERO_POINT = f"{edits.LAYER}mlp.up_proj.weight_zero_point"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a few tensors."""
    folder = tmp_path / "source"
    folder.mkdir()
    scale = f"{edits.LAYER}{edits.PROJECTION}weight_scale"
    tensors = {ZERO_POINT: PACKED, scale: np.ones((2, 2), np.float32), "model.norm.weight": np.arange(3.0)}
    save_file(tensors, folder / edits.WEIGHTS)
    return folder


def test_a_step_is_added_to_each_zero_point_of_the_first_rows(source: Path, tmp_path: Path) -> None:
    edits.shift_zero_points(source, tmp_path / "made", 0.5)
    made = load_file(tmp_path / "made" / edits.WEIGHTS)[ZERO_POINT].view(np.uint32)
    assert made.tolist() == [[0x87654321], [0xFFFFFFFF]]


def test_a_shifted_zero_point_stays_within_four_bits(source: Path, tmp_path: Path) -> None:
    edits.shift_zero_points(source, tmp_path / "made", 1.0)
    made = load_file(tmp_path / "made" / edits.WEIGHTS)[ZERO_POINT].view(np.uint32)
    assert made.tolist() == [[0x87654321], [0xFFFFFFFF]]


def test_one_scale_is_changed_and_no_other(source: Path, tmp_path: Path) -> None:
    edits.scale_one(source, tmp_path / "made", 3.0)
    before, after = (load_file(folder / edits.WEIGHTS) for folder in (source, tmp_path / "made"))
    assert sum(int((before[name] != after[name]).sum()) for name in before) == 1


def test_a_file_saved_again_holds_the_same_tensors(source: Path, tmp_path: Path) -> None:
    edits.save_again(source, tmp_path / "made", 0.0)
    np.testing.assert_equal(load_file(tmp_path / "made" / edits.WEIGHTS), load_file(source / edits.WEIGHTS))


def test_a_file_saved_again_is_another_file(source: Path, tmp_path: Path) -> None:
    edits.save_again(source, tmp_path / "made", 0.0)
    assert (tmp_path / "made" / edits.WEIGHTS).read_bytes() != (source / edits.WEIGHTS).read_bytes()


def test_shards_hold_every_tensor_where_the_index_says(source: Path, tmp_path: Path) -> None:
    edits.shard(source, tmp_path / "made", 0.0)
    places = json.loads((tmp_path / "made" / edits.INDEX).read_text())["weight_map"]
    made = {name: load_file(tmp_path / "made" / file)[name] for name, file in places.items()}
    np.testing.assert_equal(made, load_file(source / edits.WEIGHTS))


@pytest.mark.parametrize("spoil", [rows.rotate, rows.duplicate])
def test_rows_that_are_not_what_they_say_cannot_be_paired(spoil: Callable[[Scores], Scores]) -> None:
    with pytest.raises(PairingError):
        Pair(SCORES, structs.replace(spoil(SCORES), format="other")).columns()


def test_a_share_of_the_calibration_texts_is_replaced_by_padding(tmp_path: Path) -> None:
    (tmp_path / "right").write_text("".join(json.dumps({"text": f"sentence {n}"}) + "\n" for n in range(4)))
    texts.pad(tmp_path / "right", tmp_path / "wrong", 0.5)
    made = [json.loads(line)["text"] for line in (tmp_path / "wrong").read_text().splitlines()]
    assert made == ["sentence 0", "<|pad|><|pad|>", "sentence 2", "<|pad|><|pad|>"]


@pytest.mark.parametrize("sabotage", [s for s in SABOTAGES.values() if s.ladder], ids=lambda sabotage: sabotage.name)
def test_every_dose_stands_on_its_ladder(sabotage: Sabotage) -> None:
    assert sabotage.dose in sabotage.ladder


def test_no_control_is_meant_for_a_gate() -> None:
    assert {control.gate for control in CONTROLS.values()} == {""}
