"""A small world for whole sessions: the reference model and tasks, cut down to a few items."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from quant.environment import DEFAULT_MATRIX, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ITEMS = 40
TASKS = ("arithmetic", "facts", "dialogue")  # generated, by log-likelihood, in the chat template


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a matrix of three tasks, 40 items each, and 8 calibration texts; the models are real."""
    data, made = DEFAULT_MATRIX.parent, tmp_path_factory.mktemp("world")
    shutil.copytree(data / "tasks", made / "tasks", ignore=shutil.ignore_patterns("__pycache__", "tune.jsonl"))
    shutil.copytree(data / "calibration", made / "calibration")
    (made / "models").symlink_to(data / "models")
    for file in data.glob("*.toml"):
        if file.name != "waivers.toml":
            shutil.copyfile(file, made / file.name)
    text = DEFAULT_MATRIX.read_text().replace("samples = 128", "samples = 8")
    (made / "matrix.toml").write_text(re.sub(r"\ntasks = \[.*?\]", f"\ntasks = {list(TASKS)}", text, flags=re.DOTALL))
    for file in made.glob("tasks/*/test.jsonl"):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:ITEMS]))
    return made


@pytest.fixture
def session(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run pytest on the accuracy tests, or others, in a process of its own, as a user would."""

    def run(*options: str | Path, tests: tuple[str, ...] = ("accuracy",)) -> pytest.RunResult:
        common = (f"--rootdir={ROOT}", f"-c{ROOT / 'pyproject.toml'}", "-pno:cacheprovider")
        return pytester.runpytest_subprocess(*common, *(ROOT / "tests" / name for name in tests), *options)

    return run


@pytest.fixture(scope="session")
def background() -> Callable[..., subprocess.Popen[str]]:
    """Start such a session without waiting for it."""

    def start(*options: str | Path, tests: tuple[str, ...] = ("accuracy",)) -> subprocess.Popen[str]:
        chosen = [f"tests/{name}" for name in tests]
        command = [sys.executable, "-m", "pytest", "-pno:cacheprovider", *chosen, *map(str, options)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start
