#!/usr/bin/env python3
"""The benchmark stage with a quantized engine that sleeps after each step: `slowed.py -m quant stage benchmark`.

Comes in: a stage's requests. Goes out: what the stage answers. `SLOWER` says how many times as long a step takes; the
engine that starts second, the quantized one, is slowed, so that its own clocks see it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from quant.__main__ import main
from quant.stages import engines

SLOWER = float(os.environ["SLOWER"])
start = engines.offline
started: list[Any] = []


def slowed(*args: Any) -> Any:
    """Start an engine; the second one takes its time."""
    llm = start(*args)
    started.append(llm)
    if len(started) == 2:
        step = llm.llm_engine.engine_core.get_output

        def slow_step() -> Any:
            began = time.perf_counter()
            output = step()
            time.sleep((SLOWER - 1) * (time.perf_counter() - began))
            return output

        llm.llm_engine.engine_core.get_output = slow_step
    return llm


engines.offline = slowed
sys.exit(main(sys.argv[3:]))
