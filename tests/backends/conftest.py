"""Tiny checkpoints of the selected schemes, and what an engine makes of them: each served once a session."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quant import hardware
from quant.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Run a program of this folder in a process of its own and return what it printed."""

    def run(name: str, *args: str, **settings: str) -> str:
        done = subprocess.run(
            [sys.executable, str(HERE / name), *args],
            env=child_environment(hardware.probe().kind) | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def names(request: pytest.FixtureRequest) -> list[str]:
    """Schemes that the selected tests ask for."""
    asked = {item.callspec.params.get("scheme") for item in request.session.items if hasattr(item, "callspec")}
    return sorted(name for name in asked if name)


@pytest.fixture(scope="session")
def checkpoints(names: list[str], program: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `base` and a checkpoint of each scheme."""
    folder = tmp_path_factory.mktemp("checkpoints")
    program("schemes.py", str(folder), *names)
    return folder


@pytest.fixture(scope="session")
def answer(names: list[str], checkpoints: Path, program: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """Say what was computed for a scheme: `answer(scheme, backend, **environment)`."""

    @cache
    def answers(backend: str, **settings: str) -> dict[str, dict[str, Any]]:
        lines = program("served.py", str(checkpoints), backend, *names, **settings).splitlines()
        found = [json.loads(line) for line in lines if line.startswith('{"scheme"')]
        return {one["scheme"]: one for one in found}

    return lambda scheme, backend, **settings: answers(backend, **settings)[scheme]
