"""Measurements as tests: selected by readable ids and marks, begun at their turn, judged, shown, and kept if asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from quant.budgets import Baseline
from quant.environment import ROOT, current
from quant.judge import budget
from quant.report import results
from tests.unit.test_budget import EXAMPLE, timings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from quant.budgets import Performance

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("measured")]  # one measurement for all that look at it

PERF = ("perf/test_budgets.py", "perf/test_kernels.py")
# Three formats, two workloads, two claims of each.
SELECTIONS = {"-mperf": 12, "-kshort-sync": 6, "-kint8": 4, "-mperf and int4": 4, "-kint4 and full": 2}

MINE = """\
[workloads.tiny]
mode = "synchronous"
input_tokens = 8
output_tokens = 4
requests = 2
seconds = 2

[suites.tiny]
models = ["ref-4m"]
formats = ["int8-rtn"]
tasks = ["facts"]
workloads = ["tiny"]

[budgets]
impossible = { workload = "tiny", metric = "checkpoint_bytes", limit = 0.1 }
generous = { workload = "tiny", metric = "checkpoint_bytes", limit = 0.9 }
kept = { workload = "tiny", metric = "latency_ms", limit = 1.5, baseline = true }
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix file with a workload of a second and budgets that hold and break for certain."""
    file = tmp_path_factory.mktemp("mine") / "mine.toml"
    file.write_text(MINE)
    return file


@pytest.mark.parametrize(("option", "count"), SELECTIONS.items(), ids=SELECTIONS)
def test_an_option_selects_measurements(session: Callable[..., pytest.RunResult], option: str, count: int) -> None:
    found = session("--collect-only", "-q", option, tests=PERF)
    assert len([line for line in found.outlines if "[ref-4m-" in line]) == count


def test_selecting_nothing_names_the_workloads(session: Callable[..., pytest.RunResult]) -> None:
    found = session("-k", "long-sync", tests=PERF)
    found.stderr.fnmatch_lines(["ERROR: 'long-sync' selects no test; there are *, measured at short-sync, short-full"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--suite=reference-full",), "*the suite 'reference-full' names no workloads"),
        (
            ("--server=http://localhost:1", "--models=ref-4m", "--formats=int8-w8a8"),
            "*--server: latency and throughput*",
        ),
        (("--backend=hf", "-kint8 and sync"), "*--backend hf serves with Transformers; *"),
        (("--formats=fp4-nvfp4a16", "-ksync"), "*vLLM has no nvfp4a16 kernel on cpu-*"),
    ],
    ids=["no workloads", "a server", "transformers", "no kernel"],
)
def test_what_cannot_be_measured_is_skipped_with_the_reason(
    session: Callable[..., pytest.RunResult], tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    found = session(*options, "--store", tmp_path, tests=PERF)
    found.stdout.fnmatch_lines([f"SKIPPED*{reason}"])
    assert found.ret == pytest.ExitCode.OK


def test_a_request_longer_than_the_context_is_refused_before_an_engine_starts(
    session: Callable[..., pytest.RunResult], tmp_path: Path
) -> None:
    long = tmp_path / "long.toml"
    long.write_text(MINE.replace("input_tokens = 8", "input_tokens = 509"))
    found = session("--matrix", long, "--suite=tiny", "--store", tmp_path / "store", tests=PERF)
    found.stderr.fnmatch_lines(["ERROR: model 'ref-4m': a request of workload 'tiny' takes 513 tokens (509 and 4 of *"])
    assert (found.ret, list(tmp_path.glob("store/logs/*"))) == (pytest.ExitCode.USAGE_ERROR, [])


def test_nothing_is_begun_before_the_turn_of_its_test(
    session: Callable[..., pytest.RunResult], mine: Path, tmp_path: Path
) -> None:
    """The first measurement cannot be judged, so the run ends there: the second was not begun."""
    broken = tmp_path / "baselines" / current().hardware.kind / "test_budgets"
    broken.mkdir(parents=True)
    (broken / "test_budgets_hold[ref-4m-int8-rtn-tiny].json").write_text("{}")
    options = ("--matrix", mine, "--suite=tiny", "--formats=int8-rtn,int8-w8a8", "-x")
    found = session(*options, "--store", tmp_path / "store", "-o", f"baselines={tmp_path / 'baselines'}", tests=PERF)
    found.stdout.fnmatch_lines(["ref-4m-int8-rtn-tiny: *.json: no baseline of this version: *--snapshot-update*"])
    assert list(tmp_path.glob("store/logs/*")) == []


@pytest.fixture(scope="module")
def measured(
    mine: Path, tmp_path_factory: pytest.TempPathFactory, background: Callable[..., subprocess.Popen[str]]
) -> tuple[Path, str]:
    """One measurement by two xdist workers: where its store is, and what the run printed."""
    store = tmp_path_factory.mktemp("measured")
    options = ("--matrix", mine, "--suite=tiny", "--store", store, "-n2", "--dist=loadgroup")
    running = background(*options, "-o", f"baselines={store / 'baselines'}", tests=PERF)
    return store, running.communicate()[0]


@pytest.fixture
def performance(measured: tuple[Path, str]) -> Performance:
    """What the run has written of its one measurement."""
    (found,) = results.read(measured[0] / "results.json").performances
    return found


def test_two_tests_share_a_measurement(measured: tuple[Path, str]) -> None:
    assert len(list((measured[0] / "timings").glob("*"))) == 1, measured[1]


def test_a_measurement_is_written_with_its_judgement(performance: Performance) -> None:
    states = {one.budget.id: one.status for one in performance.measured if one.budget.workload == "tiny"}
    assert states == {"impossible": "FAIL", "generous": "PASS"}


def test_a_broken_budget_fails_and_says_how_to_run_it_again(measured: tuple[Path, str]) -> None:
    assert "checkpoint_bytes against the base 0.539x is above 0.1 (budget impossible)" in measured[1]
    assert "  rerun: pytest tests/perf/test_budgets.py -k 'ref-4m-int8-rtn-tiny' --suite tiny --matrix" in measured[1]


def test_a_missing_baseline_is_told_once(measured: tuple[Path, str]) -> None:
    assert measured[1].count("have no baseline of a ") == 1


def test_a_measurement_is_a_row_of_a_table(measured: tuple[Path, str]) -> None:
    assert "ref-4m  int8-rtn  tiny " in measured[1]


def test_a_run_says_what_its_measurements_cost_and_how_far_from_the_limit_they_are(measured: tuple[Path, str]) -> None:
    cost = measured[1].partition(f" cost: ref-4m on {current().hardware.kind} ")[2]
    assert "roofline of " in cost, measured[1]


def test_a_measurement_knows_what_its_roofline_follows_from(performance: Performance) -> None:
    sizes = [engine.sizes for engine in performance.engines]
    assert [(one.bits, one.operands) for one in sizes if one] == [(16.0, "bf16"), (8.0, "int8")]


KEEPS = """
import pytest
from quant.records import Calibration as Example

@pytest.mark.parametrize("name", ["first", "b+c"])
def test_text(name, baseline):
    baseline.keep(Example(texts=name))
"""


@pytest.fixture
def keeps(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run two tests that keep a record each; return the files of baselines there are then."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    pytester.makepyfile(test_drift=KEEPS)

    def run(*options: str) -> list[str]:
        pytester.runpytest_subprocess("-pfixtures.baselines", "--snapshot-no-cleanup", *options).assert_outcomes(
            passed=1 if "-kfirst" in options else 2
        )
        return sorted(str(file.relative_to(pytester.path)) for file in pytester.path.glob("baselines/**/*.json"))

    return run


def files(*names: str) -> list[str]:
    return [f"baselines/{current().hardware.kind}/test_drift/test_text[{name}].json" for name in names]


def test_no_baseline_is_written_unasked(keeps: Callable[..., list[str]]) -> None:
    assert keeps() == []


def test_a_baseline_is_written_on_request(keeps: Callable[..., list[str]]) -> None:
    assert keeps("--snapshot-update") == files("b+c", "first")


def test_a_selection_writes_its_own_baselines_and_deletes_none(
    keeps: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    keeps("--snapshot-update")
    (pytester.path / files("b+c")[0]).write_text("kept")
    assert keeps("--snapshot-update", "-kfirst") == files("b+c", "first")
    assert (pytester.path / files("b+c")[0]).read_text() == "kept"


def test_new_baselines_alone_replace_none(keeps: Callable[..., list[str]], pytester: pytest.Pytester) -> None:
    keeps("--snapshot-update", "-kfirst")
    (pytester.path / files("first")[0]).write_text("kept")
    keeps("--snapshot-update-new-only")
    assert (pytester.path / files("first")[0]).read_text() == "kept"


def test_a_baseline_is_a_record_that_a_person_can_read(
    keeps: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    keeps("--snapshot-update")
    assert '\n  "texts": "b+c",\n' in (pytester.path / files("b+c")[0]).read_text()


MEASURED = """
from fixtures.perf import keep
from quant.judge.budget import performance
from tests.unit.test_budget import EXAMPLE, LATENCY, timings

def test_quiet(baseline, request):
    keep(performance(timings(EXAMPLE), [LATENCY]), baseline, request)

def test_disturbed(baseline, request):
    keep(performance(timings(EXAMPLE, disturbed=2), [LATENCY]), baseline, request)
"""


def test_a_disturbed_measurement_becomes_no_baseline(
    keeps: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_drift=MEASURED)
    assert [file.rpartition("/")[2] for file in keeps("--snapshot-update")] == ["test_quiet.json"]


def test_a_baseline_is_read_as_it_was_measured_without_its_budgets(
    keeps: Callable[..., list[str]], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_drift=MEASURED)
    (file,) = keeps("--snapshot-update")
    written = msgspec.json.decode((pytester.path / file).read_bytes(), type=Baseline)
    assert written == Baseline(environment=current(), performance=budget.performance(timings(EXAMPLE), []))
