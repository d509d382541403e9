"""What both jobs of the pipeline share: sides of comparisons, where results go, how a failure reaches who waits.

Comes in: `Inputs`, a `Store`. Goes out: the context of `quantization` and `evaluation`. Starts nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from quant.errors import StageError, SuiteError
from quant.stages.protocol import Message

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from quant.inputs.run import Inputs
    from quant.records import Backend, Format, Model
    from quant.store import Store


class Side(NamedTuple):
    """One half of a comparison: a model in a format behind a backend; `repeat` counts further runs of the same."""

    model: Model
    format: Format
    backend: Backend
    repeat: int = 0

    @property
    def label(self) -> str:
        """Name for people."""
        return f"{self.model.id}-{self.format.id}{f'-run{self.repeat}' if self.repeat else ''}"


class Context(NamedTuple):
    """What every job needs: where inputs come from, where results go, who hears of progress."""

    inputs: Inputs
    store: Store
    hear: Callable[[Message], None]

    def explain(self, kind: str, label: str, key: dict[str, Any]) -> None:
        """Tell why something is computed that an earlier run has computed already."""
        if changed := self.store.explain(kind, label, key):
            self.hear(Message(event="progress", label=f"{label}: computed anew, since {changed}"))


def fail(future: Future[Any], error: BaseException) -> None:
    """Hand an error to whoever waits; what is not the suite's own becomes a `StageError`."""
    if not future.done():
        future.set_exception(error if isinstance(error, SuiteError) else StageError(f"{type(error).__name__}: {error}"))
