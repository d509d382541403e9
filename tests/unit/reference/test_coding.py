"""Task `coding`: its items tell right functions from near misses, and its sandbox contains what models may write."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.data.tasks.coding import scoring
from fixtures.reference.functions import expressions
from fixtures.reference.tasks import coding

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(scoring.__file__).parent
SUM = {
    "name": "f",
    "head": "(a, b):\n    # the sum of a and b\n    return",
    "arguments": "[[2, 3], [4, 0], [-1, 7]]",
    "answer": "[5, 4, 6]",
}
LOOP = SUM | {"head": "(a, b):\n    # the sum of a and b"}


def items(split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def box() -> Iterator[scoring.Sandbox]:
    fresh = scoring.Sandbox()
    yield fresh
    fresh.close()


@pytest.fixture(autouse=True, scope="module")
def _ended() -> Iterator[None]:
    yield
    scoring.sandbox().close()
    scoring.sandbox.cache_clear()


@pytest.mark.parametrize(
    ("completion", "word"),
    [
        (" a + b", "right"),
        (" sum([a, b])", "right"),
        (" a - b", "wrong"),
        (" float", "forbidden"),
        (" (a + b) * 2 / 2", "wrong"),
        (" a +", "syntax"),
        (" a[0]", "error"),
        (" c", "forbidden"),
        (" f(a, b)", "forbidden"),
        (" __import__('os').getpid()", "forbidden"),
        (" ().__class__", "forbidden"),
        (" '{0.__class__}'.format(a)", "forbidden"),
        (" (x for x in [a]).gi_frame", "forbidden"),
        (" open('/etc/passwd').read()", "forbidden"),
        (" eval('a + b')", "forbidden"),
        (" (lambda: a + b)()", "forbidden"),
        (" a + b\nimport os", "forbidden"),
        (" a + b\nprint(1)", "forbidden"),
        (" len([0] * 10**10)", "memory"),
        (" len([0] * 10**8)", "memory"),
        (" 10 ** 10 ** 8", "timeout"),
        ("(" * 2000, "syntax"),
        (" \ud800", "error"),
    ],
)
def test_a_completion_gets_its_word(completion: str, word: str) -> None:
    assert scoring.verdict(SUM, completion) == word


@pytest.mark.parametrize(
    ("completion", "word"),
    [
        ("\n    total = a\n    total += b\n    return total", "right"),
        ("\n    for i in range(10**12): pass\n    return a + b", "timeout"),
        ("\n    while True: pass", "forbidden"),
        ("\n    try:\n        return a + b\n    except ValueError: pass", "forbidden"),
        ("\n    import os\n    return a + b", "forbidden"),
        ("\n    __builtins__ = a\n    return a + b", "forbidden"),
        ("\n    pass", "wrong"),
    ],
)
def test_a_body_gets_its_word(completion: str, word: str) -> None:
    assert scoring.verdict(LOOP, completion) == word


def test_limits_hold_for_a_program_that_the_subset_would_have_refused(tmp_path: Path) -> None:
    target = tmp_path / "written"
    server = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import sandbox
sandbox.check = lambda tree, name: None
sandbox.BUILTINS["open"] = open
sandbox.main()
"""
    script = tmp_path / "open.py"
    script.write_text(server, encoding="utf-8")
    box = scoring.Sandbox(script)
    word = box.verdict({"source": f"def f():\n    return open({str(target)!r}, 'w')", "name": "f", "cases": [[[], 1]]})
    box.close()
    assert (word, target.exists()) == ("error", False)


def test_every_reference_solution_passes() -> None:
    assert [item["id"] for item in items("test") if scoring.verdict(item, item["solution"]) != "right"] == []


def test_no_constant_passes() -> None:
    answers = {item["id"]: json.loads(item["answer"]) for item in items("test")}
    assert [name for name, results in answers.items() if all(result == results[0] for result in results)] == []


def test_no_parameter_passes() -> None:
    echoes = [
        item["id"]
        for item in items("test")
        if any(
            list(column) == json.loads(item["answer"]) for column in zip(*json.loads(item["arguments"]), strict=True)
        )
    ]
    assert echoes == []


def test_exchanged_signs_do_not_pass() -> None:
    exchanged = [(item, item["solution"].replace("+", "-")) for item in items("tune") if item["level"] <= 2]
    passed = [
        item["id"] for item, text in exchanged if text != item["solution"] and scoring.verdict(item, text) == "right"
    ]
    assert passed == []


def test_results_come_from_the_spec_alone() -> None:
    item = {"spec": '[["b", "a"], ["sub", ["double", "a"], "b"]]', "arguments": "[[1, 5], [10, -2]]"}
    assert coding.solve(item) == "[9, -14]"


def test_parentheses_stand_where_python_needs_them() -> None:
    assert expressions.code(["sub", "a", ["gap", "b", ["sub", "c", ["next", "d"]]]]) == "a - abs(b - (c - (d + 1)))"


def test_lessons_read_as_prompts_with_solutions() -> None:
    functions = coding.lesson(random.Random(0)).split("\n\n")
    assert [text[:4] for text in functions] == ["def "] * len(functions)


@pytest.mark.parametrize("results", [[" a + b"], [[" a + b", " a"]]])
def test_a_filter_may_hand_over_a_text_or_a_list(results: list[Any]) -> None:
    assert scoring.process_results(SUM, results) == {"pass": 1.0}


def test_a_killed_server_is_replaced(box: scoring.Sandbox) -> None:
    first = box.process.pid
    os.kill(first, signal.SIGKILL)
    word = box.verdict({"source": "def f(a):\n    return a", "name": "f", "cases": [[[1], 1]]})
    assert (word, box.process.pid != first) == ("right", True)


def test_a_server_ends_when_its_input_ends(box: scoring.Sandbox) -> None:
    assert box.process.stdin is not None
    box.process.stdin.close()
    assert box.process.wait(timeout=5) == 0
