"""The release gate: one checkpoint against its base, for people and pipelines that do not know pytest.

Comes in: the options of `python -m quant gate`. Goes out: an exit code that tells a worse checkpoint from an unproven
one and both from a broken machine. Must not import pytest: it runs it as a process, and reads its results.json.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from quant.environment import ROOT
from quant.judge.recovery import findings
from quant.report import results

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSED, WORSE, USAGE, UNPROVEN, BROKEN = range(5)
MEANING = {
    PASSED: "PASS",
    WORSE: "FAIL: proven worse than its format may be",
    USAGE: "not run: the input cannot be used",
    UNPROVEN: "INCONCLUSIVE: nothing is proven; more items (--suite, --gate) may prove it",
    BROKEN: "broken: the machine or an engine failed, or was interrupted",
}
PYTEST = {"passed": 0, "failed": 1, "usage": 4}  # pytest's own exit codes; any other means that tests did not run
SOURCES = ("checkpoint", "base")  # folders, or names on the hub
PATHS = (*SOURCES, "matrix", "store", "report")


def run(options: Mapping[str, str]) -> int:
    """Gate a checkpoint: `options` are pytest's, without dashes, "" for those not given. Prints the outcome last."""
    given = {name: _absolute(name, value) for name, value in options.items() if value}
    file = Path(given.get("report") or given.get("store") or ROOT / ".store") / "results.json"
    began = time.time()
    ended = _pytest([f"--{name}={value}" for name, value in given.items()])
    written = file.is_file() and file.stat().st_mtime >= began
    code = outcome(ended, results.read(file) if written else None)
    sys.stdout.write(f"gate: {MEANING[code]} (exit code {code}){f'; results: {file}' if written else ''}\n")
    return code


def outcome(ended: int, found: results.Results | None) -> int:
    """Return the gate's exit code from pytest's (`ended`) and the results of that run.

    A proof stands whatever broke beside it; a run without an average, such as one of skipped tests, proves nothing.
    """
    if ended == PYTEST["usage"]:
        return USAGE
    if found is None or ended not in PYTEST.values():
        return BROKEN
    if ended == PYTEST["failed"] and _worse(found):
        return WORSE
    if found.errors or all(verdict.task for verdict in found.verdicts):
        return BROKEN
    return PASSED if ended == PYTEST["passed"] else UNPROVEN


def _worse(found: results.Results) -> bool:
    """Say whether an average or, multiplicity controlled, a task is proven below, and not waived."""
    below = findings([verdict for verdict in found.verdicts if verdict.task]).below
    failed = [v for v in found.verdicts if (v.task in below if v.task else v.status == "FAIL")]
    return any(not verdict.waiver for verdict in failed)


def _pytest(options: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", "tests/accuracy", *options]
    with subprocess.Popen(command, cwd=ROOT) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the child has heard it too, and stops its engines first
            return child.wait()


def _absolute(name: str, value: str) -> str:
    """Make a path mean the same from the repository's folder; a name on the hub stays as it is."""
    hub = name in SOURCES and not Path(value).exists()
    return value if hub or name not in PATHS else str(Path(value).absolute())
