"""What an lm-eval task reads besides data sets is found missing before an engine starts, and known by its hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import TaskError
from quant.inputs import resources
from quant.store import Store

if TYPE_CHECKING:
    from pathlib import Path

TASKS = reading.load(DEFAULT_MATRIX).tasks
CODE = replace(TASKS["mbpp"], datasets=())
FOLLOW = replace(TASKS["ifeval"], datasets=())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with empty caches that fetches nothing."""
    for name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(resources, "SYSTEM", ())
    return tmp_path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def questions(tmp_path: Path) -> str:
    """URL of a file that is not on this machine, as far as the store knows."""
    (tmp_path / "questions.json").write_text("[]")
    return f"file://{tmp_path / 'questions.json'}"


def metric(home: Path, digest: str) -> None:
    made = home / "hub" / "modules" / "evaluate_modules" / "metrics" / "evaluate-metric--code_eval" / digest
    made.mkdir(parents=True)
    (made / "code_eval.py").write_text("")


def test_a_metric_that_is_not_there_is_named_with_what_fetches_it(home: Path) -> None:
    with pytest.raises(TaskError) as caught:
        resources.find(CODE, None)
    assert str(caught.value).replace(str(home), "HOME") == (
        "task 'mbpp': metric:code_eval is not in HOME/hub/modules and a run fetches nothing; fetch it once:"
        ' HF_HUB_OFFLINE=0 HF_ALLOW_CODE_EVAL=1 python -c "from lm_eval.tasks import TaskManager as T;'
        " T().load(['mbpp_instruct'])\", or leave the task out"
    )


def test_a_metric_is_known_by_the_hash_of_its_code(home: Path) -> None:
    metric(home, "c0ffee")
    assert resources.find(CODE, None) == {"metric:code_eval": "c0ffee"}


def test_sentence_rules_that_are_not_there_are_named() -> None:
    with pytest.raises(TaskError, match="'ifeval': nltk:tokenizers/punkt_tab is not in the folders of NLTK_DATA and"):
        resources.find(FOLLOW, None)


@pytest.mark.parametrize("place", ["nltk_data/tokenizers/punkt_tab", "nltk_data/tokenizers/punkt_tab.zip"])
def test_sentence_rules_are_found_where_nltk_looks(home: Path, place: str) -> None:
    (home / place).mkdir(parents=True)
    assert resources.find(FOLLOW, None) == {"nltk:tokenizers/punkt_tab": "here"}


def test_a_file_of_the_web_that_is_not_in_the_store_is_named(store: Store, questions: str) -> None:
    with pytest.raises(
        TaskError, match=r"'mbpp': file://.*questions.json is not in the store and a run fetches nothing"
    ):
        resources.find(replace(CODE, resources=(questions,)), store)


def test_a_file_of_the_web_is_fetched_once_and_known_by_its_hash(
    store: Store, questions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(CODE, resources=(questions,))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    resources.find(task, store)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "questions.json").unlink()
    digest = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"  # sha256sum of `[]`
    assert resources.find(task, store) == {questions: digest}


def test_without_a_store_nothing_is_said_of_the_web(questions: str) -> None:
    assert resources.find(replace(CODE, resources=(questions,)), None) == {}
