"""A stage's process is never left behind, and what goes wrong in it is told with its log. Real children, real kills."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from quant.environment import ROOT, child_environment
from quant.errors import StageError
from quant.stages.process import StageProcess
from quant.stages.protocol import QuantizeRequest

REQUEST = QuantizeRequest(label="x", model="/nowhere", output="/nowhere", dtype="bfloat16", recipe=())


def start(stage: str, log: Path) -> StageProcess:
    return StageProcess(stage, child_environment("cpu-avx2"), log)


def test_a_process_that_dies_is_reported_with_its_code_and_log(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no-such-stage: its process (ended with code 2|died).*log: .*stage\.log"):
        start("no-such-stage", tmp_path / "stage.log").ask(REQUEST, print, 60)


def test_a_request_that_takes_too_long_kills_the_process(tmp_path: Path) -> None:
    process = start("quantize", tmp_path / "stage.log")
    with pytest.raises(StageError, match="no answer within 0 s"):
        process.ask(REQUEST, lambda _message: None, 0.4)
    assert not process.alive


def test_an_exception_in_a_stage_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"quantize failed: .*nowhere"):
        start("quantize", tmp_path / "stage.log").ask(REQUEST, lambda _message: None, 300)


ORPHANED = """
import os, signal, sys
from pathlib import Path
from quant.environment import child_environment
from quant.stages.process import StageProcess
process = StageProcess("quantize", child_environment("cpu-avx2"), Path(sys.argv[1]))
print(process._child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_stage_ends_with_its_parent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANED, str(tmp_path / "stage.log")], cwd=ROOT, capture_output=True, check=False
    )
    child, deadline = int(done.stdout), time.monotonic() + 30
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs(child)


def runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
