"""vLLM's command line, also where its CPU build is installed, which has no distribution named `vllm`.

Comes in: `python -m quant.stages.vllm_cli serve|bench ...`, or `serve` in a process of its own. Goes out: what vLLM
does. Imports vLLM inside functions only.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from quant.stages.engines import import_model_class_here, name_the_cpu_build

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

name_the_cpu_build()  # in the processes that vLLM spawns too: they import this file first


def serve(checkpoint: str, options: list[str], output: Connection) -> None:
    """Be `vllm serve` until the process that started this one ends, however it ends; say all to `output`."""
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
    os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # answers what its workers say of themselves
    _start_engine_quickly(checkpoint)
    sys.argv = ["vllm", "serve", checkpoint, *options]
    main()


def main() -> None:
    """Run vLLM's command line."""
    from vllm.entrypoints.cli.main import main as run

    run()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.killpg(0, signal.SIGKILL)


def _start_engine_quickly(checkpoint: str) -> None:
    """On a CPU, fork the engine's process: vLLM would spawn it, which imports all again (measured: 18 of 46 s)."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        import vllm.v1.engine.utils

        vllm.v1.engine.utils.get_mp_context = partial(multiprocessing.get_context, "fork")
        import_model_class_here(checkpoint)


if __name__ == "__main__":
    main()
