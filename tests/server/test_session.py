"""Whole sessions with `--server`, as a user would run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from quant.environment import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVED = ("--models", "ref-0.6m", "--formats", "int4-w4a16")


@pytest.fixture
def session(pytester: pytest.Pytester, tmp_path: Path) -> Callable[..., pytest.RunResult]:
    def run(*options: str) -> pytest.RunResult:
        common = (f"--rootdir={ROOT}", f"-c{ROOT / 'pyproject.toml'}", "-pno:cacheprovider", f"--store={tmp_path}")
        return pytester.runpytest_subprocess(*common, ROOT / "tests" / "accuracy", *options, *SERVED)

    return run


def test_a_server_that_is_not_up_ends_the_run_at_once(session: Callable[..., pytest.RunResult]) -> None:
    found = session("--server", "http://127.0.0.1:1")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["ERROR: http://127.0.0.1:1/v1/models: expected an answer, found none in 3 attempts*"])


def test_both_sides_are_served_without_an_engine_or_a_quantizer(
    session: Callable[..., pytest.RunResult], serve: Callable[[], Any]
) -> None:
    quantized, base = serve(), serve()
    found = session("--server", quantized.url, "--base-server", base.url, "-k", "facts", "--gate", "pr")
    assert found.ret == pytest.ExitCode.OK
    found.stdout.fnmatch_lines(
        [
            f"ref-0.6m: int4-w4a16 is served by {quantized.url}, its base by {base.url}",
            "ref-0.6m int4-w4a16: not compared with int8-w8a8, since a server serves one format",
            "*2 engine processes, 0 quantizer processes started*",
        ]
    )
