"""A stage's own process: requests come in on standard input, messages go out on what was standard output.

Libraries print to standard output, so it is pointed at the log first and messages keep a descriptor of their own.
When the parent closes the input or dies, this process ends at once, whatever it is doing.
"""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, get_args

import msgspec

from quant.errors import UsageError
from quant.stages.protocol import BenchmarkRequest, EvaluateRequest, Message, QuantizeRequest, StageName

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS: dict[str, type[QuantizeRequest | EvaluateRequest | BenchmarkRequest]] = {
    "quantize": QuantizeRequest,
    "evaluate": EvaluateRequest,
    "benchmark": BenchmarkRequest,
}


def serve(stage: str) -> None:
    """Answer requests for one stage until the input ends."""
    if stage not in get_args(StageName):
        raise UsageError(f"no stage {stage!r}; there are {', '.join(get_args(StageName))}")
    tell = _private_output()
    inbox: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    handle = importlib.import_module(f"quant.stages.{stage}").handle
    while True:
        _answer(inbox.get(), stage, handle, tell)


def _answer(line: bytes, stage: str, handle: Callable[..., None], tell: Callable[[Message], None]) -> None:
    began = time.monotonic()
    try:
        handle(msgspec.json.decode(line, type=REQUESTS[stage]), tell)
        tell(Message(event="done", seconds=time.monotonic() - began))
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the parent's to report
        traceback.print_exc()
        tell(Message(event="error", text=f"{type(error).__name__}: {error}", seconds=time.monotonic() - began))


def _private_output() -> Callable[[Message], None]:
    descriptor = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lock = threading.Lock()

    def tell(message: Message) -> None:
        with lock:
            os.write(descriptor, msgspec.json.encode(message) + b"\n")

    return tell


def _listen(inbox: queue.Queue[bytes]) -> None:
    for line in sys.stdin.buffer:
        inbox.put(line)
    os._exit(0)  # also spares an engine's exit handlers, which can abort the interpreter after all results are out
