"""Rooms keep to themselves: collecting tests loads no engine, and a heavy library has one room that imports it."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from quant.environment import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"torch", "vllm", "llmcompressor", "lm_eval", "transformers", "datasets", "compressed_tensors", "matplotlib"}
# Which modules may import a heavy library, inside a function.
IMPORTERS = {
    "llmcompressor": {"quant/stages/quantize.py"},
    "lm_eval": {
        "quant/stages/documents.py",
        "quant/stages/engines.py",
        "quant/stages/evaluate.py",
        "quant/stages/server.py",
    },
    "matplotlib": {"quant/report/pareto.py"},
    "vllm": {
        "quant/stages/engines.py",
        "quant/stages/guards.py",
        "quant/stages/kernels.py",
        "quant/stages/offline.py",
        "quant/stages/served.py",
        "quant/stages/vllm_cli.py",
    },
}
SOURCES = sorted(
    [
        *ROOT.glob("quant/**/*.py"),
        *ROOT.glob("fixtures/*.py"),
        *ROOT.glob("fixtures/sabotage/*.py"),
        ROOT / "conftest.py",
    ]
)

COLLECT = """
import sys, pytest
class Loaded:
    def pytest_collection_finish(self):
        print("LOADED", sorted(set(sys.modules) & {heavy!r}))
pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "tests/accuracy"], plugins=[Loaded()])
"""


def test_collection_loads_no_heavy_library() -> None:
    script = COLLECT.replace("{heavy!r}", repr(HEAVY))
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "LOADED []" in found.stdout, found.stdout


def imports(file: Path, *, top_only: bool) -> set[str]:
    """Names of the packages that a module imports, anywhere or when it is itself imported."""
    tree = ast.parse(file.read_text())
    nodes = tree.body if top_only else list(ast.walk(tree))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in plain | named}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_imports_heavy_libraries_only_inside_functions(file: Path) -> None:
    assert imports(file, top_only=True) & HEAVY == set()


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_heavy_library_is_imported_by_its_own_stage_only(library: str) -> None:
    found = {str(file.relative_to(ROOT)) for file in SOURCES if library in imports(file, top_only=False)}
    assert found == IMPORTERS[library]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_fits_on_a_few_screens(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 250
