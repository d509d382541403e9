"""The job that measures latency and throughput: a base and a format of it take turns, alone on the machine.

Comes in: `Inputs`, a `Store`, a future to fulfil. Goes out: `Timings`. Runs in a worker's thread; whatever goes wrong
goes to the future, so that the one who waits is told. Each run measures anew, since how fast a machine is today follows
from no files: the key holds the time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from quant.inputs import integrity, keys, memory
from quant.jobs import Context, fail
from quant.matrix import BASE
from quant.stages.protocol import TIMINGS, BenchmarkRequest, BlockTimings
from quant.store import key_of
from quant.workloads import Timings

if TYPE_CHECKING:
    from concurrent.futures import Future

    from quant.records import Checkpoint, Format, Model
    from quant.workers import Ask
    from quant.workloads import Sizes, Workload

KIND = "timings"


@dataclass(frozen=True)
class Measurement:
    """Measure one workload on one format and its base."""

    context: Context
    model: Model
    format: Format
    workload: Workload
    checkpoint: Checkpoint
    future: Future[Timings]

    def run(self, ask: Ask) -> None:
        """Fulfil the future."""
        try:
            self.future.set_result(self._measure(ask))
        except Exception as error:  # noqa: BLE001 - belongs to whoever waits
            fail(self.future, error)

    def _measure(self, ask: Ask) -> Timings:
        base, store, started = self.context.inputs.base(self.model), self.context.store, time.time()
        integrity.check(base, self.checkpoint, self.format)
        key = self._key(base, started)
        with store.locked((KIND, key)), store.workspace() as space:
            ask(self._request(base, str(space)), self.context.hear)
            told = msgspec.json.decode((space / TIMINGS).read_bytes(), type=BlockTimings)
            store.commit(KIND, self._label, key, space)
        return Timings(
            model=self.model.id,
            format=self.format.id,
            workload=self.workload,
            hardware=self.context.inputs.machine.kind,
            base=replace(told.base, checkpoint_bytes=base.tensor_bytes, sizes=self._sizes(BASE)),
            quantized=replace(
                told.quantized, checkpoint_bytes=self.checkpoint.tensor_bytes, sizes=self._sizes(self.format)
            ),
            blocks=told.blocks,
            peaks=told.peaks,
            started=started,
            record=key_of(key),
        )

    def _sizes(self, fmt: Format) -> Sizes | None:
        inputs, shape = self.context.inputs, self.context.inputs.shape(self.model)
        if shape is None:
            return None
        return memory.served(self.model, shape, fmt, inputs.machine, inputs.devices(self.model))

    @property
    def _label(self) -> str:
        return f"{self.model.id}-{self.format.id}-{self.workload.id}"

    def _request(self, base: Checkpoint, output: str) -> BenchmarkRequest:
        return BenchmarkRequest(
            label=self._label,
            base=base.path,
            quantized=self.checkpoint.path,
            output=output,
            workload=self.workload,
            dtype=self.model.dtype,
            context_tokens=self.model.context_tokens,
            engine=self.model.engine,
            tensor_parallel=self.context.inputs.devices(self.model),
        )

    def _key(self, base: Checkpoint, started: float) -> dict[str, Any]:
        return {
            **keys.of(self.context.inputs.machine),
            "checkpoints": [base.files, self.checkpoint.files],
            "workload": self.workload,
            "engine": self.model.engine,
            "started": started,
        }
