"""A task that cannot be used is refused before an engine starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import msgspec
import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import TaskError
from quant.inputs import tasks
from quant.records import Task, TaskType

if TYPE_CHECKING:
    from pathlib import Path


def sums(folder: Path) -> Task:
    return Task(id="sums", type="mathematics", folder=str(folder), lm_eval="sums", metric="acc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task's folder with two documents."""
    made = tmp_path / "sums"
    made.mkdir()
    (made / "sums.yaml").write_text("task: sums\ntest_split: test\ncustom_dataset: !function items.load\n")
    (made / "test.jsonl").write_text('{"q": "1+1"}\n{"q": "1+2"}\n')
    return made


def complaint(folder: Path) -> str:
    with pytest.raises(TaskError) as caught:
        tasks.inspect(sums(folder))
    return str(caught.value).replace(str(folder), "")


def test_documents_are_counted(folder: Path) -> None:
    assert tasks.inspect(sums(folder)).items == 2


def test_a_changed_document_changes_the_tasks_identity(folder: Path) -> None:
    before = tasks.inspect(sums(folder)).files
    (folder / "test.jsonl").write_text('{"q": "1+1"}\n{"q": "1+3"}\n')
    assert tasks.inspect(sums(folder)).files != before


def test_the_chance_that_a_yaml_states_goes_before_the_matrixs(folder: Path) -> None:
    with (folder / "sums.yaml").open("a") as file:
        file.write("metadata:\n  chance: 0.2\n")
    assert tasks.inspect(msgspec.structs.replace(sums(folder), chance=0.5)).chance == 0.2


def test_a_chance_that_nobody_states_is_none(folder: Path) -> None:
    assert tasks.inspect(sums(folder)).chance is None


def test_a_chance_in_percent_is_refused(folder: Path) -> None:
    with (folder / "sums.yaml").open("a") as file:
        file.write("metadata:\n  chance: 25\n")
    assert complaint(folder).startswith("task 'sums': `chance` in its YAML: Expected `float` < 1")


def test_a_missing_data_file_is_named(folder: Path) -> None:
    (folder / "test.jsonl").unlink()
    assert complaint(folder) == "task 'sums': /test.jsonl is missing, but sums.yaml names the split 'test'"


def test_a_document_that_comes_twice_is_named_by_line(folder: Path) -> None:
    (folder / "test.jsonl").write_text('{"q": "1+1"}\n{"q": "1+1"}\n')
    assert complaint(folder) == "task 'sums': /test.jsonl:2: the same item a second time; remove it"


def test_a_line_that_is_not_json_is_named(folder: Path) -> None:
    (folder / "test.jsonl").write_text('{"q": "1+1"}\n{"q": \n')
    assert complaint(folder).startswith("task 'sums': /test.jsonl:2: not JSON")


def test_a_folder_without_the_tasks_yaml_is_named(folder: Path) -> None:
    (folder / "sums.yaml").write_text("task: products\n")
    assert "says `task: sums`" in complaint(folder)


STORIES = Task(id="stories", type="knowledge", lm_eval="leaderboard_musr", metric="acc", datasets=("TAUR-Lab/MuSR",))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's data sets, and no way to fetch one."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def fetch(cache: Path, commit: str) -> None:
    made = cache / "TAUR-Lab___mu_sr" / "default" / "0.0.0" / commit
    made.mkdir(parents=True)
    (made / "dataset_info.json").write_text("{}")


def test_a_data_set_that_is_not_there_offline_is_named_with_what_fetches_it(cache: Path) -> None:
    with pytest.raises(TaskError) as caught:
        tasks.inspect(STORIES)
    assert str(caught.value).replace(str(cache), "CACHE") == (
        "task 'stories': TAUR-Lab/MuSR is not in CACHE and a run fetches nothing; fetch it once:"
        " HF_HUB_OFFLINE=0 python -c \"from lm_eval.tasks import TaskManager as T; T().load(['leaderboard_musr'])\", or"
        " leave the task out"
    )


def test_a_data_set_that_is_there_is_known_by_its_commit(cache: Path) -> None:
    fetch(cache, "c0ffee")
    assert tasks.inspect(STORIES).files == {"hub:TAUR-Lab/MuSR": "c0ffee"}


def test_a_run_that_may_fetch_does_not_need_the_data_set_beforehand(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    fetch(cache / "elsewhere", "c0ffee")
    assert tasks.inspect(STORIES).files == {}


def test_code_of_a_model_is_not_run_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    with pytest.raises(TaskError, match="HF_ALLOW_CODE_EVAL=1"):
        tasks.inspect(msgspec.structs.replace(STORIES, runs_code=True))


def test_code_of_a_model_is_run_where_it_is_allowed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    fetch(cache, "c0ffee")
    assert tasks.inspect(msgspec.structs.replace(STORIES, runs_code=True)).chance is None


REFERENCE = {task.id: task for task in reading.load(DEFAULT_MATRIX).suite_tasks("reference-full")}
CHANCES = {"commonsense": 0.25, "facts": 0.25, "instruction": 0.01, "grounding": 0.5, "dialogue": 0.028}


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_tasks_hold_at_least_a_thousand_documents(name: str) -> None:
    assert tasks.inspect(REFERENCE[name]).items >= 1000


@pytest.mark.parametrize("name", REFERENCE)
def test_the_chance_level_of_a_task_is_what_its_yaml_says(name: str) -> None:
    assert tasks.inspect(REFERENCE[name]).chance == CHANCES.get(name, 0.0)


def test_the_reference_tasks_cover_every_type_once() -> None:
    assert sorted(task.type for task in REFERENCE.values()) == sorted(get_args(TaskType))
