"""Bounds by hand: Llama-3.1-8B on an H100 whose data sheet says 3.35 TB/s and 989 TFLOP/s in 16 bits, twice that in 8.

6,979,321,856 linear weights and a head of 128,256 x 4,096 = 525,336,576; a token's KV cache takes
2 x 32 x 8 x 128 x 2 = 131,072 bytes.
"""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from quant import reading, roofline
from quant.environment import DEFAULT_MATRIX
from quant.inputs import memory
from quant.matrix import BASE
from quant.records import Hardware
from quant.stats.blocks import LogMean
from quant.workloads import Peaks, Sizes, Workload
from tests.unit.printed import LATENCIES, LLAMA, performance, performances, workload

MATRIX = reading.load(DEFAULT_MATRIX)
H100 = Peaks(bytes_per_s=3.35e12, operations_per_s={"bf16": 989e12, "fp8": 1979e12, "int8": 1979e12})
WIDE = Sizes(shape=LLAMA, bits=16.0)
INT4 = Sizes(shape=LLAMA, bits=4.125)
INT8 = Sizes(shape=LLAMA, bits=8.0, operands="int8")
SINGLE = Workload(id="one", mode="synchronous", input_tokens=1024, output_tokens=129, requests=1)
FULL = Workload(id="full", mode="asynchronous", input_tokens=1024, output_tokens=128, requests=512)


def test_a_step_reads_linear_layers_and_head_but_no_embeddings() -> None:
    assert roofline.weight_bytes(WIDE) == 2 * (6_979_321_856 + 525_336_576) == 15_009_316_864


def test_int4_reads_linear_layers_at_4_bits_and_an_eighth_for_scales() -> None:
    assert roofline.weight_bytes(INT4) == 6_979_321_856 * 4.125 / 8 + 2 * 525_336_576


def test_a_head_of_unknown_size_is_half_of_what_formats_leave() -> None:
    unknown = replace(WIDE, shape=replace(LLAMA, head=0))
    assert roofline.head(unknown) == (8_030_261_248 - 6_979_321_856) // 2


@pytest.mark.parametrize(
    ("sizes", "milliseconds"),
    [(WIDE, 4.480), (INT8, 2.397), (INT4, 1.388)],  # 15.009, 8.030 and 4.649 GB at 3.35 TB/s
)
def test_one_request_is_decoded_as_fast_as_memory_is_read(sizes: Sizes, milliseconds: float) -> None:
    roof = roofline.decode(1, 0, sizes, H100)
    assert (roof.binds, 1e3 * roof.seconds) == ("memory", pytest.approx(milliseconds, abs=0.001))


def test_decoding_reads_the_cache_of_every_request() -> None:
    # 64 requests of 1,000 tokens: 64 x 1,000 x 131,072 bytes more.
    empty, full = (roofline.decode(64, context, WIDE, H100).memory for context in (0, 1000))
    assert full - empty == pytest.approx(64 * 1000 * 131_072 / 3.35e12)


@pytest.mark.parametrize(
    ("sizes", "milliseconds"),
    [
        # 1,024 x 2 x 6.979e9 operations at 989e12, or at 1,979e12; the head once at 989e12.
        (WIDE, 14.454),
        (INT4, 14.454),
        (INT8, 7.224),
    ],
)
def test_a_long_prompt_takes_what_it_computes(sizes: Sizes, milliseconds: float) -> None:
    roof = roofline.prefill(1024, sizes, H100)
    assert (roof.binds, 1e3 * roof.seconds) == ("compute", pytest.approx(milliseconds, abs=0.001))


def test_a_short_prompt_takes_what_it_reads() -> None:
    assert roofline.prefill(64, WIDE, H100).binds == "memory"


@pytest.mark.parametrize(("sizes", "requests"), [(WIDE, 295.2), (INT4, 91.5), (INT8, 295.3)])
def test_decoding_becomes_compute_bound_from_a_number_of_requests_on(sizes: Sizes, requests: float) -> None:
    # 989e12 / 3.35e12 = 295.2 operations a byte: 16-bit weights do 2 operations on 2 bytes for each request.
    assert roofline.crossover(0, sizes, H100) == pytest.approx(requests, abs=0.1)


@pytest.mark.parametrize(("more", "binds"), [(-1, "memory"), (1, "compute")])
def test_what_binds_changes_at_the_crossover(more: int, binds: str) -> None:
    at = roofline.crossover(100, INT4, H100)
    assert roofline.decode(at + more, 100, INT4, H100).binds == binds


def test_a_long_context_is_never_compute_bound() -> None:
    # Its cache takes 1,000 x 131,072 / 3.35e12 = 39 us a request, its products 15 us.
    assert roofline.crossover(1000, WIDE, H100) == math.inf


def test_the_bound_of_a_request_is_its_prefill_and_its_steps() -> None:
    # 14.454 ms, then 128 steps of 4.4804 + 1,088.5 x 131,072 / 3.35e12 = 4.5230 ms.
    assert roofline.bounds(SINGLE, WIDE, H100)["latency_ms"].value == pytest.approx(14.454 + 128 * 4.5230, abs=0.01)


def test_an_answer_of_one_token_has_no_time_between_tokens() -> None:
    assert [*roofline.bounds(replace(SINGLE, output_tokens=1), WIDE, H100)] == ["ttft_ms", "latency_ms"]


def test_saturated_weights_are_shared_and_prompts_are_computed() -> None:
    # An output token of 128 computes 9 tokens: 9 x 2 x 6.979e9 + 2 x .525e9 operations at 989e12: 128.1 us.
    found = roofline.bounds(FULL, WIDE, H100)["output_tokens_per_s"]
    assert (found.binds, found.value) == ("compute", pytest.approx(1 / 128.1e-6, rel=1e-3))


def test_few_at_once_are_bound_by_memory() -> None:
    found = roofline.bounds(FULL, replace(WIDE, sequences=8), H100)["output_tokens_per_s"]
    # 15.009 GB / 8 and 1,088 tokens of cache at 3.35 TB/s: 602.6 us.
    assert (found.binds, found.value) == ("memory", pytest.approx(1 / 602.6e-6, rel=1e-3))


@pytest.mark.parametrize(
    ("sizes", "requests"),
    [(WIDE, 512), (replace(WIDE, sequences=256), 256), (replace(WIDE, cache_tokens=108_800), 100)],
)
def test_as_many_are_served_at_once_as_come_as_the_engine_takes_and_as_the_cache_holds(
    sizes: Sizes, requests: int
) -> None:
    assert roofline.batch(FULL, sizes) == requests


def test_two_devices_halve_the_time() -> None:
    one, two = (roofline.decode(1, 1000, replace(WIDE, devices=count), H100).seconds for count in (1, 2))
    assert two == pytest.approx(one / 2)


def test_at_a_rate_the_arrivals_decide() -> None:
    assert roofline.bounds(replace(FULL, rate=2.0), WIDE, H100) == {}


def test_a_number_type_that_was_not_measured_counts_as_the_fastest_that_was() -> None:
    peaks = replace(H100, operations_per_s={"bf16": 1e12, "int8": 4e12})
    four, eight = (roofline.prefill(4096, replace(INT8, operands=name), peaks) for name in ("fp4", "int8"))
    assert four == eight


@pytest.mark.parametrize(
    ("fmt", "bits", "operands"),
    [
        ("fp8-dynamic", 8.0, "fp8"),
        ("int8-w8a8", 8.0, "int8"),
        ("int4-w4a16", 4.125, "bf16"),
        ("int4-w4a8", 4.125, "int8"),
        ("int4-w4afp8", 4.125, "fp8"),
        ("fp4-nvfp4", 4.5, "fp4"),
        ("fp4-nvfp4a16", 4.5, "bf16"),
        ("bf16", 16, "bf16"),
    ],
)
def test_a_format_multiplies_what_its_kernels_do(fmt: str, bits: float, operands: str) -> None:
    model, chosen = MATRIX.models["llama-3.1-8b-instruct"], MATRIX.pick("formats", fmt)
    found = memory.sizes(model, LLAMA, chosen)
    assert (found.bits, found.operands) == (bits, operands)


def test_the_cache_holds_what_weights_leave_of_the_memory() -> None:
    # 90 % of 80 GB less 16,060,522,496 bytes of weights, at 131,072 bytes a token.
    machine = Hardware(kind="h100", name="H100", devices=1, capabilities=frozenset(), memory_bytes=80 * 10**9)
    found = memory.served(MATRIX.models["llama-3.1-8b-instruct"], LLAMA, BASE, machine, 1)
    assert found.cache_tokens == (72 * 10**9 - 16_060_522_496) // 131_072


def test_what_a_cpu_holds_is_unknown() -> None:
    machine = Hardware(kind="cpu-avx512", name="C", devices=2, capabilities=frozenset(), memory_bytes=80 * 10**9)
    assert memory.served(MATRIX.models["llama-3.1-8b-instruct"], LLAMA, BASE, machine, 1).cache_tokens == 0


def test_printed_latencies_lie_above_the_bound_of_their_device() -> None:
    # An A6000 reads 768 GB/s: 1,024 tokens of code completion take it 20.1 s at least, 24.5 s are printed.
    found = performance("int8-w8a8", workload(0, "synchronous"), 1e3 * LATENCIES["bf16"][0][0], 15.9e3)
    point = next(one for one in roofline.points(found, quantized=False) if one.metric == "latency_ms")
    assert (point.bound.binds, point.distance) == ("memory", pytest.approx(24.5 / 20.15, abs=0.01))


def test_no_printed_number_is_better_than_its_bound() -> None:
    found = [*performances("synchronous"), *performances("asynchronous")]
    points = [point for one in found for side in (False, True) for point in roofline.points(one, quantized=side)]
    assert min(point.distance for point in points) > 1


def test_nothing_is_bound_of_a_model_of_unknown_size() -> None:
    found = performances("synchronous")[0]
    unknown = replace(found, engines=tuple(replace(engine, sizes=None) for engine in found.engines))
    assert (roofline.points(unknown, quantized=True), roofline.ratio(unknown, "latency_ms")) == ([], None)


@pytest.mark.parametrize(
    ("predicted", "measured", "wrong"),
    [
        (2.0, LogMean(math.log(1.5), 0.01, 5), True),
        (1.8, LogMean(math.log(1.5), 0.01, 5), False),  # 20 % off
        (2.0, LogMean(math.log(1.5), 0.5, 5), False),  # within the limits
        (0.5, LogMean(math.log(1.0), 0.01, 5), True),
    ],
)
def test_a_prediction_is_wrong_outside_the_limits_and_by_more_than_a_quarter(
    predicted: float,
    measured: LogMean,
    wrong: bool,  # noqa: FBT001 - an expected value
) -> None:
    assert roofline.disagrees(predicted, measured.value, *measured.limits(0.05)) == wrong
