"""Documents are chosen at random, the same for every model; few-shot examples do not depend on which are scored."""

from __future__ import annotations

import sys
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from quant.errors import TaskError
from quant.stages.chance import check
from quant.stages.documents import Documents, _draw_examples_by_document, _forget_modules, by_subtask, choose, order
from quant.stages.protocol import TaskRequest

TASK = TaskRequest(id="facts", lm_eval="facts", include="", metric="acc", filter="none")


def test_a_rate_of_a_subtask_that_there_is_not_is_an_error() -> None:
    task = msgspec.structs.replace(TASK, chance={"places": 0.2, "teams": 0.5})
    with pytest.raises(TaskError, match="task 'facts': `chance` names 'teams', which is no subtask of 'facts'"):
        check(task, ("people", "places"))


def chosen(documents: int, **changes: Any) -> list[int]:
    return choose(documents, msgspec.structs.replace(TASK, **changes))


def test_all_documents_are_taken_without_a_bound() -> None:
    assert sorted(chosen(5)) == [0, 1, 2, 3, 4]


def test_a_bound_above_the_number_of_documents_takes_them_all_once() -> None:
    assert sorted(chosen(3, items=1000)) == [0, 1, 2]


def test_a_choice_is_not_the_head_of_the_file() -> None:
    assert sorted(chosen(1000, items=10)) != list(range(10))


def test_no_document_is_chosen_twice() -> None:
    assert len(set(order(1000, seed=0))) == 1000


def test_a_share_is_the_head_of_the_whole() -> None:
    assert chosen(1000, share=0.25) == chosen(1000)[:250]


def test_a_smaller_bound_is_the_head_of_a_larger_one() -> None:
    assert chosen(1000, items=100) == chosen(1000, items=200)[:100]


def test_what_is_there_is_not_chosen_again() -> None:
    assert chosen(1000, share=0.25) + chosen(1000, start=250) == chosen(1000)


def test_nothing_is_left_behind_the_last_document() -> None:
    assert chosen(10, start=10) == []


def test_another_seed_chooses_other_documents() -> None:
    assert order(1000, seed=0)[:100] != order(1000, seed=1)[:100]


GROUP = Documents(subtasks={}, counts={"algebra": 2, "geometry": 3})


def test_documents_of_a_group_are_counted_through_its_subtasks() -> None:
    assert GROUP.places([4, 0, 2, 1]) == [("geometry", 2), ("algebra", 0), ("geometry", 0), ("algebra", 1)]


def test_a_group_is_scored_subtask_by_subtask_each_in_rising_order() -> None:
    assert by_subtask(GROUP.places([4, 0, 2, 1])) == {"algebra": [0, 1], "geometry": [0, 2]}


def test_a_subtask_of_which_nothing_is_chosen_is_left_out() -> None:
    assert by_subtask(GROUP.places([3])) == {"geometry": [1]}


class FewShot:
    """Draws as lm-eval's own sampler does: from one stream of random numbers, document after document."""

    def set_fewshot_seed(self, seed: int) -> None:
        from lm_eval.api.samplers import ContextSampler

        self.sampler = ContextSampler([{"n": n} for n in range(100)], rnd=seed)

    def fewshot_context(self, doc: dict[str, int]) -> str:
        return f"{self.sampler.sample(3)} {doc}"


def prompts(documents: list[int]) -> dict[int, str]:
    task = FewShot()
    _draw_examples_by_document(task, seed=0)
    return {n: task.fewshot_context({"n": n}) for n in documents}


def test_random_examples_of_a_document_do_not_depend_on_the_documents_before_it() -> None:
    assert prompts([7])[7] == prompts([1, 2, 7])[7]


def test_documents_have_examples_of_their_own() -> None:
    drawn = prompts([1, 2])
    assert drawn[1].split("] ")[0] != drawn[2].split("] ")[0]


def test_a_tasks_own_modules_that_keep_random_numbers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing, other = SimpleNamespace(RNG=Random(1)), SimpleNamespace(WORDS=["a"])
    ruler = {"lm_eval.tasks.ruler.cwe_utils": drawing, "lm_eval.tasks.ruler.niah_utils": other}
    monkeypatch.setattr(sys, "modules", {**ruler, "lm_eval.tasks.manager": drawing, "lm_eval.api": drawing})
    _forget_modules()
    assert list(sys.modules) == ["lm_eval.tasks.ruler.niah_utils", "lm_eval.tasks.manager", "lm_eval.api"]
