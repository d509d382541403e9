"""What does not fit is refused before anything starts, by arithmetic that can be done by hand.

Llama-3.1-8B: 32 layers of 4 projections (4096 x 4096, twice 4096 x 1024, 4096 x 4096) and 3 of 4096 x 14336 are
6,979,321,856 linear weights; with 2 x 128,256 x 4096 of embeddings and 65 norms of 4096, 8,030,261,248 parameters.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from quant import __main__ as command_line
from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import ModelError
from quant.inputs import memory
from quant.inputs.run import Inputs
from quant.matrix import BASE, Cell
from quant.records import Format, Hardware, Mixed, Model, Shape

MATRIX = reading.load(DEFAULT_MATRIX)
LLAMA = MATRIX.models["llama-3.1-8b-instruct"]
LARGE = MATRIX.models["llama-3.1-70b-instruct"]
FP8, INT4 = MATRIX.formats["fp8-dynamic"], MATRIX.formats["int4-w4a16"]
H100 = Hardware(kind="h100", name="H100", devices=1, capabilities=frozenset(), memory_bytes=81559 * 2**20)


def shape(model: Model) -> Shape:
    assert model.shape
    return model.shape


def complaint(model: Model, machine: Hardware, *formats: Format) -> str:
    with pytest.raises(ModelError) as caught:
        memory.devices(model, model.shape, machine, formats)
    return str(caught.value)


def test_parameters_in_16_bits_take_two_bytes_each() -> None:
    assert memory.need(LLAMA, shape(LLAMA)).weights == 2 * 8_030_261_248 == 16_060_522_496


def test_fp8_halves_the_linear_layers_alone() -> None:
    assert memory.need(LLAMA, shape(LLAMA), FP8).weights == 6_979_321_856 + 2 * 1_050_939_392


def test_int4_in_groups_of_128_takes_an_eighth_of_a_bit_for_scales() -> None:
    assert memory.need(LLAMA, shape(LLAMA), INT4).weights == 6_979_321_856 * 4.125 / 8 + 2 * 1_050_939_392


def test_a_token_takes_a_key_and_a_value_in_every_layer() -> None:
    assert memory.token_bytes(shape(LLAMA)) == 2 * 32 * 8 * 128 * 2 == 131_072


def test_the_cache_holds_four_sequences_of_full_length() -> None:
    assert memory.need(LLAMA, shape(LLAMA)).cache == 131_072 * 8192 * 4


def test_of_a_long_context_one_sequence_is_enough() -> None:
    long = replace(LLAMA, context_tokens=131_072)
    assert memory.need(long, shape(LLAMA)).cache == 131_072 * 131_072


def test_8b_fits_on_one_h100_with_128k_tokens() -> None:
    assert memory.devices(replace(LLAMA, context_tokens=131_072), shape(LLAMA), H100) == 1


def test_an_fp8_cache_takes_half() -> None:
    fmt = MATRIX.pick("formats", "int8-w8a8+fp8-kv")
    assert memory.need(LLAMA, shape(LLAMA), fmt).cache == 131_072 * 8192 * 4 / 2


@pytest.mark.parametrize(
    ("fmt", "bits"),
    [
        ("bf16", 16.0),
        ("fp8-dynamic", 8.0),
        ("int8-w8a8", 8.0),
        ("int4-w4a16", 4 + 16 / 128),
        ("int4-w4a16-asym", 4 + 20 / 128),
        ("fp4-nvfp4", 4 + 8 / 16),
        ("fp4-mxfp4", 4 + 8 / 32),
    ],
)
def test_bits_follow_from_the_recipe(fmt: str, bits: float) -> None:
    assert memory.bits(MATRIX.formats[fmt]) == bits


def test_of_several_schemes_the_widest_counts() -> None:
    recipe = (("GPTQModifier", {"scheme": {"W4A16": ["re:.*mlp.*"], "W8A8": ["re:.*attn.*"]}}),)
    assert memory.bits(Format(id="two", purpose="any", family="int4", recipe=recipe)) == 8.0


def test_without_a_recipe_bits_follow_from_the_family() -> None:
    assert memory.bits(Format(id="given", purpose="any", family="fp8", checkpoint="hub:some/one")) == 8.0


def test_mixed_precision_takes_the_average_it_may_reach_and_the_scales() -> None:
    assert memory.bits(replace(INT4, mixed=Mixed(high="W8A16", bits=5.0))) == 5.125


def test_8b_fits_on_one_h100() -> None:
    assert memory.devices(LLAMA, LLAMA.shape, H100) == 1


def test_70b_takes_two_of_four_h100() -> None:
    assert memory.devices(LARGE, LARGE.shape, replace(H100, devices=4)) == 2


def test_a_stated_number_of_devices_is_taken() -> None:
    assert memory.devices(replace(LLAMA, tensor_parallel=4), LLAMA.shape, replace(H100, devices=4)) == 4


def test_more_devices_than_there_are_cannot_be_stated() -> None:
    assert "`tensor_parallel = 2`, found 1 x H100" in complaint(replace(LLAMA, tensor_parallel=2), H100)


def test_devices_divide_the_kv_heads() -> None:
    moe = MATRIX.models["qwen3-30b-a3b"]  # 64.3 GB with its cache, 4 KV heads: 8 of 10 GB would hold it, 4 do not
    assert "would fit on 4 x 17.86 GB" in complaint(moe, replace(H100, devices=8, memory_bytes=10**10))


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    assert complaint(LARGE, H100, FP8, INT4) == (
        "model 'llama-3.1-70b-instruct': does not fit: 141.11 GB of unquantized weights and 10.74 GB of KV cache"
        " (4 sequences of 8,192 tokens), found 76.97 GB on 1 x H100 (85.52 GB each); it would fit on 2 such devices;"
        " int4-w4a16 (50.24 GB) would fit, but nothing is compared without the unquantized model"
    )


def test_a_shorter_context_is_named_where_it_would_do() -> None:
    # (18 GB - 16.06 GB) / 131,072 bytes / 4 sequences = 3,699 tokens, in steps of 512
    assert "or with `context_tokens = 3584`" in complaint(LLAMA, replace(H100, memory_bytes=20 * 10**9))


def test_a_shorter_long_context_is_named_where_it_would_do() -> None:
    # (27 GB - 16.06 GB) / 131,072 bytes = 83,461 tokens, one sequence, in steps of 512
    long = replace(LLAMA, context_tokens=131_072)
    assert "or with `longest_context_tokens = 83456`" in complaint(long, replace(H100, memory_bytes=30 * 10**9))


def test_a_cpu_is_one_device_and_needs_the_memory_itself() -> None:
    cpu = replace(H100, kind="cpu-avx512", devices=64)  # (141.11 + 10.74 GB) / 0.9
    assert "would fit on 1 x 168.72 GB" in complaint(LARGE, cpu)


def test_what_an_engine_is_told_to_take_counts() -> None:
    model = replace(LLAMA, engine={"gpu_memory_utilization": 0.1})
    assert "found 8.55 GB on 1 x H100" in complaint(model, H100)


@pytest.mark.parametrize("machine", [replace(H100, memory_bytes=0), replace(H100, kind="cpu-avx512", devices=64)])
def test_one_device_where_memory_is_unknown_and_on_a_cpu(machine: Hardware) -> None:
    assert memory.devices(LLAMA, LLAMA.shape, machine) == 1


def test_a_models_shape_is_read_from_its_files() -> None:
    # Embeddings 1024 x 128 are tied; 3 layers of 4 x 128 x 128 and 3 x 128 x 256 linear weights; 7 norms of 128.
    found = memory.read(Path(MATRIX.models["ref-0.6m"].source), "ref-0.6m")
    sizes = {"parameters": 623_488, "linear": 491_520, "head": 131_072}
    assert found == Shape(**sizes, layers=3, kv_heads=2, head_dim=64, hidden=128)


def test_a_cell_that_does_not_fit_is_refused_before_anything_is_fetched() -> None:
    cell = Cell(model=LARGE, format=BASE, task=MATRIX.tasks["facts"])
    with pytest.raises(ModelError, match="does not fit"):
        Inputs(MATRIX, H100).check([cell])


def test_the_planner_refuses_what_fits_on_no_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "matrix.toml"
    huge = "shape = { parameters = 1_000_000_000_000_000, linear = 0, layers = 1, kv_heads = 1, head_dim = 1 }"
    file.write_text(f'[models.huge]\nsource = "huge"\ncontext_tokens = 512\n{huge}\n')
    code = command_line.main(["plan", "--models", "huge", "--matrix", str(file)])
    assert (code, "'huge': does not fit: 2,000,000.00 GB" in capsys.readouterr().err) == (2, True)
