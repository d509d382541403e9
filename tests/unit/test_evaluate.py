"""Documents are chosen at random, the same for every model, and in the order that lm-eval needs."""

from __future__ import annotations

from quant.stages.evaluate import choose


def test_all_documents_are_taken_without_a_bound() -> None:
    assert choose(5, 0, seed=0) == [0, 1, 2, 3, 4]


def test_a_bound_above_the_number_of_documents_takes_them_all_once() -> None:
    assert choose(3, 1000, seed=0) == [0, 1, 2]


def test_a_choice_is_not_the_head_of_the_file() -> None:
    assert choose(1000, 10, seed=0) != list(range(10))


def test_a_choice_is_sorted_and_has_no_document_twice() -> None:
    chosen = choose(1000, 100, seed=0)
    assert chosen == sorted(set(chosen))


def test_a_smaller_choice_is_part_of_a_larger_one() -> None:
    assert set(choose(1000, 100, seed=7)) < set(choose(1000, 200, seed=7))


def test_another_seed_chooses_other_documents() -> None:
    assert choose(1000, 100, seed=0) != choose(1000, 100, seed=1)
