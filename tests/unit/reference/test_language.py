"""The task language: scores of a document by hand arithmetic, and documents of all kinds, none twice."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from fixtures.data.tasks.language import scoring
from fixtures.reference.tasks import language


def test_a_model_that_is_certain_scores_one() -> None:
    assert scoring.process_results({"text": "four"}, [0.0])["word_likelihood"] == 1.0


def test_a_perplexity_of_two_is_a_likelihood_of_a_half_however_long_the_document() -> None:
    scores = scoring.process_results({"text": "A cup is hard."}, [-4 * math.log(2)])
    assert scores["word_likelihood"] == pytest.approx(0.5)


def test_bytes_are_counted_not_characters() -> None:
    assert scoring.process_results({"text": "für"}, [-1.0])["bits_per_byte"] == (-1.0, 4)


def test_words_are_counted_for_the_perplexity_of_a_word() -> None:
    assert scoring.process_results({"text": "A cup is hard."}, [-1.0])["word_perplexity"] == (-1.0, 4)


def test_each_kind_of_document_is_there_equally_often() -> None:
    assert Counter(item["level"] for item in language.items("test")) == {1: 250, 2: 250, 3: 250, 4: 250}


def test_no_document_occurs_twice_over_all_splits() -> None:
    assert len(language.reserved()) == sum(language.SIZES.values())


def test_documents_are_of_a_length_that_one_window_of_the_model_holds() -> None:
    assert {200 <= len(text) <= 600 for text in language.reserved()} == {True}


def test_a_document_hangs_on_its_split_and_place_alone() -> None:
    assert language.solve({"id": "language-tune-0007"}) == language.items("tune")[7]["text"]
