"""RULER makes its documents: all its tasks run end to end, from files that lie here, and make them once a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tokenizers import Tokenizer

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.inputs import context
from tests.suites.scoring import samples, scored

if TYPE_CHECKING:
    from pathlib import Path

    from quant.stages.process import StageProcess

RULER = reading.load(DEFAULT_MATRIX).tasks["ruler-4k"]
SHORT = msgspec.structs.replace(
    RULER, id="short", lm_eval="ruler_qa_squad", metric="512", metadata={"max_seq_lengths": [512]}
)
WORDS = msgspec.structs.replace(RULER, lm_eval="ruler_cwe", metric="2048", metadata={"max_seq_lengths": [2048]})
LENGTH = 4096
DOCUMENTS = 500  # that each of RULER's tasks makes
MADE = 13


@pytest.mark.slow
def test_all_tasks_are_scored_at_the_declared_length(
    stage: StageProcess, llama: Path, pages: dict[str, str], tmp_path: Path
) -> None:
    found = scored(stage, llama, tmp_path, RULER, web=pages, items=8 * MADE)
    tokenizer, said = Tokenizer.from_file(str(llama / "tokenizer.json")), samples(tmp_path, RULER)
    sizes = [len(tokenizer.encode(s["arguments"][0][0]).ids) + s["arguments"][0][1]["max_gen_toks"] for s in said]
    assert (found.documents, len(found.items), len({s["task"] for s in said})) == (MADE * DOCUMENTS, 8 * MADE, MADE)
    assert 0.5 * LENGTH < max(sizes) <= LENGTH + context.BESIDE


def test_questions_are_read_from_local_files(
    stage: StageProcess, llama: Path, pages: dict[str, str], tmp_path: Path
) -> None:
    scored(stage, llama, tmp_path, SHORT, web=pages)
    assert all("How many ships has town" in sample["arguments"][0][0] for sample in samples(tmp_path, SHORT))


def test_a_later_look_has_the_documents_of_the_first_at_no_cost(
    stage: StageProcess, llama: Path, pages: dict[str, str], tmp_path: Path
) -> None:
    looks = msgspec.structs.replace(WORDS, id="looks")
    anew = msgspec.structs.replace(WORDS, id="anew")  # another task to the stage: its documents are made for it
    whole = scored(stage, llama, tmp_path, anew, web=pages, items=6)
    first = scored(stage, llama, tmp_path / "first", looks, web=pages, items=6, share=0.5)
    later = scored(stage, llama, tmp_path / "later", looks, web=pages, items=6, start=3)
    assert (first.items + later.items, later.seconds < first.seconds / 2) == (whole.items, True)
