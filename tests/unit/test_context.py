"""A task of long documents is served with a longer context; what no context holds is refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import ModelError
from quant.inputs import context

MATRIX = reading.load(DEFAULT_MATRIX)
LLAMA, QWEN = MATRIX.models["llama-3.1-8b-instruct"], MATRIX.models["qwen3-8b"]


@pytest.mark.parametrize(
    ("task", "tokens"),
    [("gsm8k-llama", 8192), ("ruler-4k", 8192), ("ruler-8k", 131072), ("ruler-16k", 131072), ("ruler-128k", 131072)],
)
def test_a_model_is_served_with_what_its_task_needs(task: str, tokens: int) -> None:
    assert context.serving(LLAMA, MATRIX.tasks[task]).context_tokens == tokens


def test_what_serves_a_task_serves_it_again() -> None:
    served = context.serving(LLAMA, MATRIX.tasks["ruler-64k"])
    assert context.serving(served, MATRIX.tasks["ruler-64k"]) == served


def test_documents_longer_than_the_longest_context_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'ruler-64k' asks in 65,536 tokens and needs 256 beside them, .* 40,960;"):
        context.serving(QWEN, MATRIX.tasks["ruler-64k"])


def test_documents_that_leave_no_room_for_a_chat_template_are_refused() -> None:
    full = replace(MATRIX.tasks["ruler-128k"], metadata={"max_seq_lengths": [131072]})
    with pytest.raises(ModelError, match="needs 256 beside them"):
        context.serving(LLAMA, full)


def test_a_workload_is_measured_with_the_models_own_context() -> None:
    assert context.measured(LLAMA, MATRIX.workloads["summarization-sync"]) == LLAMA


def test_a_workload_longer_than_the_context_is_refused() -> None:
    with pytest.raises(
        ModelError,
        match=r"model 'ref-4m': a request of workload 'ttft-1024' takes 1,025 tokens \(1,024 and 1 of its answer\), "
        r"but `context_tokens` is 512; raise it",
    ):
        context.measured(MATRIX.models["ref-4m"], MATRIX.workloads["ttft-1024"])
