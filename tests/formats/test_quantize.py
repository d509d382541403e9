"""Every format quantizes for real, the same tensors each time, and closes what its recipe leaves open by measuring.

The quantize stage does it in a process of its own, outside of any store.
"""

from __future__ import annotations

import hashlib
import importlib.util
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from quant import reading, recipe
from quant.environment import DEFAULT_MATRIX, child_environment, current
from quant.inputs.models import weights
from quant.stages.process import StageProcess
from quant.stages.protocol import CHOICE, QuantizeRequest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = [pytest.mark.timeout(0), pytest.mark.xdist_group("formats")]

DECLARED = reading.load(DEFAULT_MATRIX)
MODELS = DECLARED.suites["reference-full"].models
FORMATS = [name for name in DECLARED.formats if name != "bf16"]
SLOW = ("int4-awq", "int4-autoround")  # searches over scales and rounding: half a minute each on a small model
TIMEOUT_SECONDS = 1800
SMALL = MODELS[-1]
NEEDS = {
    "int4-autoround": [
        pytest.mark.skipif(
            importlib.util.find_spec("auto_round") is None,
            reason="auto-round, which learns this rounding, is not installed",
        )
    ]
}
# Under `--dist loadgroup` each cell may go to another worker.
CELLS = [
    pytest.param(model, fmt, marks=[pytest.mark.xdist_group(f"{model}-{fmt}"), *NEEDS.get(fmt, ())])
    for model in MODELS
    for fmt in FORMATS
]
REPEATED = ("int4-w4a16", "int4-mixed")  # int8-smoothquant takes half a minute; the slow test repeats it


class Made(NamedTuple):
    """What one process made: hashes of the weights by (model, format), and what was chosen."""

    hashes: dict[tuple[str, str], list[str]]
    choices: dict[tuple[str, str], dict[str, Any]]


def request(model: str, fmt: str, output: Path) -> QuantizeRequest:
    """Return what a run would ask for."""
    declared, chosen = DECLARED.models[model], DECLARED.pick("formats", fmt)
    texts = declared.calibration
    assert texts is not None
    return QuantizeRequest(
        label=f"{model}-{fmt}",
        model=declared.source,
        output=str(output),
        dtype=declared.dtype,
        recipe=chosen.recipe,
        search=chosen.search,
        mixed=chosen.mixed,
        calibration_file=texts.texts if chosen.calibration is not None else "",
        samples=texts.samples,
        tokens=texts.tokens,
    )


def make(folder: Path, pairs: Iterable[tuple[str, str]]) -> Made:
    """Quantize in a new process, one after the other."""
    found = Made({}, {})
    folder.mkdir()
    process = StageProcess("quantize", child_environment(current().hardware.kind), folder / "log")
    try:
        for model, fmt in pairs:
            output = folder / model / fmt
            process.ask(request(model, fmt, output), lambda _message: None, TIMEOUT_SECONDS)
            files = weights(output, fmt)
            found.hashes[model, fmt] = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
            if (output / CHOICE).is_file():
                found.choices[model, fmt] = msgspec.json.decode((output / CHOICE).read_bytes())
    finally:
        process.close()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The smallest model in every format that takes seconds."""
    pairs = [(SMALL, fmt) for fmt in FORMATS if fmt not in SLOW]
    return make(tmp_path_factory.mktemp("made") / "first", pairs)


@pytest.mark.parametrize("fmt", [fmt for fmt in FORMATS if fmt not in SLOW])
def test_the_smallest_model_is_quantized(made: Made, fmt: str) -> None:
    assert made.hashes[SMALL, fmt]


def test_formats_that_round_weights_differently_are_different_files(made: Made) -> None:
    weights = [*made.hashes.values()]
    assert len({tuple(hashes) for hashes in weights}) == len(weights)


def test_another_process_makes_the_same_tensors(made: Made, tmp_path: Path) -> None:
    again = make(tmp_path / "again", [(SMALL, fmt) for fmt in REPEATED])
    assert again.hashes == {key: made.hashes[key] for key in again.hashes}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "fmt"), CELLS)
def test_every_model_is_the_same_in_another_process(tmp_path: Path, model: str, fmt: str) -> None:
    first, second = (make(tmp_path / name, [(model, fmt)]) for name in ("first", "second"))
    assert second == first


def test_the_smoothing_strength_taken_is_the_one_that_loses_least(made: Made) -> None:
    found = made.choices[SMALL, "int8-smoothquant"]["search"]
    assert found["chosen"] == min(found["tried"], key=lambda pair: pair[1])[0]


def test_every_strength_declared_is_tried(made: Made) -> None:
    search = DECLARED.formats["int8-smoothquant"].search
    assert search is not None
    assert [value for value, _ in made.choices[SMALL, "int8-smoothquant"]["search"]["tried"]] == [*search.values]


def test_mixed_precision_spares_the_layers_that_lose_most_for_their_bits(made: Made) -> None:
    found = made.choices[SMALL, "int4-mixed"]["mixed"]
    assert max(found["loss"], key=found["loss"].get) in found["spared"]


def test_mixed_precision_keeps_to_its_bits(made: Made) -> None:
    """Weights by hand: 3 layers of q 128x128, k, v and o alike, gate, up and down 128x256."""
    found, mixed = made.choices[SMALL, "int4-mixed"]["mixed"], DECLARED.formats["int4-mixed"].mixed
    weights = {"qkv_proj": 3 * 128 * 128, "o_proj": 128 * 128, "gate_up_proj": 2 * 128 * 256, "down_proj": 128 * 256}
    spared = sum(weights[name.rpartition(".")[2]] for name in found["spared"])
    assert mixed is not None
    assert 4 < 4 + 4 * spared / (3 * sum(weights.values())) <= mixed.bits


def test_the_modifiers_known_are_those_of_the_installed_llm_compressor() -> None:
    from llmcompressor.modifiers.factory import ModifierFactory

    ModifierFactory.refresh()
    assert {*recipe.MODIFIERS} == {*ModifierFactory._main_registry} - {"Modifier"}


def test_the_schemes_known_are_presets_of_the_installed_compressed_tensors() -> None:
    from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES

    assert {*recipe.SCHEMES} <= {*PRESET_SCHEMES}
