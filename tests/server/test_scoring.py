"""A server that fails while it is asked costs what was asked of it: no score is made up, and none is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX, current
from quant.errors import StageError
from quant.jobs import Side
from quant.matrix import BASE
from quant.pipeline import Pipeline
from quant.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from quant.records import Task

ITEMS = 8
PROBES = 4  # requests before the first item: models, version, echo, tokens


class Run(NamedTuple):
    """One session against one server."""

    pipeline: Pipeline
    side: Side
    tasks: list[Task]

    def outcomes(self, share: float = 1.0) -> list[int | str]:
        """Return how many items of each task were scored, or what went wrong."""
        return [_outcome(future) for future in self.pipeline.scores(self.side, self.tasks, share=share)]


def _outcome(future: Any) -> int | str:
    try:
        return len(future.result(300).items)
    except StageError as error:
        return str(error)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Begin sessions on one store."""
    begun: list[Pipeline] = []

    def begin(url: str, *names: str) -> Run:
        declared = reading.load(DEFAULT_MATRIX)
        pipeline = Pipeline(
            declared, Store(tmp_path), machine=current().hardware, devices=[], servers={"int8-w8a8": url}
        )
        begun.append(pipeline)
        side = Side(declared.models["ref-0.6m"], declared.formats["int8-w8a8"], "server")
        return Run(pipeline, side, [replace(declared.tasks[name], items=ITEMS) for name in names])

    yield begin
    for pipeline in begun:
        pipeline.close()


def test_a_busy_server_is_asked_again_and_looks_extend_a_series(serve: Callable[[], Any], run: Any) -> None:
    server = serve()
    server.busy = frozenset({PROBES + 3, PROBES + 4})
    begun = run(server.url, "facts")
    first, asked = begun.outcomes(share=0.5), server.requests
    assert (first, begun.outcomes(), server.requests - asked < asked) == ([4], [8], True)


def test_a_server_that_dies_in_a_task_ends_all(serve: Callable[[], Any], run: Any) -> None:
    server = serve()
    server.dies_at = PROBES + 12
    found = run(server.url, "facts", "arithmetic").outcomes()
    assert ["expected an answer, found none in" in str(outcome) for outcome in found] == [True, True]


def test_scores_are_never_those_of_another_session(serve: Callable[[], Any], run: Any) -> None:
    server = serve()
    keys = []
    for _ in range(2):
        begun = run(server.url, "facts")
        inputs, base = begun.pipeline.inputs, begun.pipeline.inputs.base(begun.side.model)
        keys.append(inputs.scores_key(begun.side.model, begun.tasks[0], replace(base, format="int8-w8a8"), "server"))
    differing = [name for name in keys[0] if keys[0][name] != keys[1][name]]
    assert (differing, keys[0]["endpoint"]["url"]) == (["endpoint"], server.url)


def test_a_base_without_a_server_is_served_here(run: Any) -> None:
    begun = run("http://localhost:1", "facts")
    assert begun.pipeline.backend_for(begun.side.format, BASE) == "vllm"
