"""`--checkpoint P --base B` become a model and a format of the matrix; what cannot is refused with what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import save_file

from fixtures.given import Choice, with_pair
from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import UsageError
from quant.records import Model

MATRIX = reading.load(DEFAULT_MATRIX)
REFERENCE = MATRIX.models["ref-4m"]
AWQ = {"quant_method": "awq", "bits": 4}
CONFIG = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 512, "dtype": "float16"}


def folder(at: Path, quantization: Any = None, **changes: Any) -> str:
    at.mkdir()
    said = CONFIG | changes | ({"quantization_config": quantization} if quantization else {})
    (at / "config.json").write_text(json.dumps(said))
    save_file({"w": np.ones(1, np.float32)}, at / "model.safetensors")
    return str(at)


def choose(checkpoint: str, base: str, suite: str = "", models: tuple[str, ...] = ()) -> Choice:
    return with_pair(Choice(MATRIX, suite, [*models], []), checkpoint, base)


@pytest.fixture
def made(tmp_path: Path) -> str:
    return folder(tmp_path / "my-AWQ v2", AWQ)


def test_nothing_given_changes_nothing() -> None:
    assert choose("", "") == Choice(MATRIX, "", [], [])


def test_cells_are_named_by_the_folders(made: str) -> None:
    matrix, suite, *names, _header = choose(made, REFERENCE.source)
    assert next(matrix.cells(suite, *names)).id == "ref-4m-my-awq-v2-commonsense"


def test_the_declaration_of_a_copied_base_is_used(made: str, tmp_path: Path) -> None:
    copy = shutil.copytree(REFERENCE.source, tmp_path / "elsewhere")
    matrix, _, models, *_ = choose(made, str(copy))
    assert matrix.models[models[0]] == REFERENCE


def test_a_base_that_is_not_declared_is_read_from_its_config(made: str, tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    matrix, _, models, *_ = choose(made, base, "reference")
    assert matrix.models[models[0]] == Model(id="base", source=base, dtype="float16", context_tokens=512)


def test_a_long_context_is_cut(made: str, tmp_path: Path) -> None:
    base = folder(tmp_path / "base", max_position_embeddings=131072)
    matrix, _, models, *_ = choose(made, base, "reference")
    assert matrix.models[models[0]].context_tokens == 4096


def test_the_format_is_read_from_the_checkpoint(made: str) -> None:
    matrix, _, _, formats, _ = choose(made, REFERENCE.source)
    fmt = matrix.formats[formats[0]]
    assert (fmt.family, fmt.needs, fmt.checkpoint, fmt.competitor) == ("int4", ("w4a16",), made, "")


def test_a_name_that_is_taken_gets_another(tmp_path: Path) -> None:
    assert choose(folder(tmp_path / "bf16", AWQ), REFERENCE.source).formats == ["bf16-given"]


def test_a_base_on_the_hub_is_known_by_its_name(made: str) -> None:
    declared = Model(id="known", source="hub:org/name", revision="0" * 40, context_tokens=1024)
    matrix = replace(MATRIX, models=MATRIX.models | {"known": declared})
    assert with_pair(Choice(matrix, "reference", [], []), made, "org/name").models == ["known"]


def test_the_header_names_the_threshold_and_what_is_not_compared(made: str) -> None:
    assert choose(made, REFERENCE.source).header == (
        "gate: my-awq-v2 (int4, recovery >= 95%) against ref-4m; its comparison with INT8 needs a second checkpoint, so"
        " the threshold alone decides"
    )


def test_a_base_of_no_suite_needs_a_suite(made: str, tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    with pytest.raises(
        UsageError, match=r"base is none of the models of the suite 'reference'.*--suite.*reference-full"
    ):
        choose(made, base)


def test_a_base_alone_is_refused() -> None:
    with pytest.raises(UsageError, match="add --checkpoint"):
        choose("", REFERENCE.source)


@pytest.mark.parametrize(
    ("card", "name", "hint"),
    [
        ("---\nbase_model: org/one\n---\nText", "", "its README.md names org/one"),
        ("---\nbase_model:\n- org/two\n---\n", "", "its README.md names org/two"),
        ("", "org/three", "its config.json names org/three"),
    ],
)
def test_a_checkpoint_alone_is_refused_with_its_base_as_a_hint(tmp_path: Path, card: str, name: str, hint: str) -> None:
    alone = folder(tmp_path / "alone", AWQ, _name_or_path=name)
    Path(alone, "README.md").write_text(card)
    with pytest.raises(UsageError, match=f"add --base; {hint}"):
        choose(alone, "")


def test_models_beside_a_pair_are_refused(made: str) -> None:
    with pytest.raises(UsageError, match="leave --models and --formats out"):
        choose(made, REFERENCE.source, models=("ref-4m",))


def test_a_folder_that_is_not_there_is_named(made: str) -> None:
    with pytest.raises(UsageError, match="--base /nowhere/model: no such folder"):
        choose(made, "/nowhere/model")


def test_a_name_without_a_commit_is_refused_before_it_is_fetched() -> None:
    with pytest.raises(UsageError, match=r"--checkpoint: org/name: this gate profile wants a full commit"):
        with_pair(Choice(MATRIX, "", [], []), "org/name", REFERENCE.source, pinned=True)


def test_swapped_options_are_noticed(made: str) -> None:
    with pytest.raises(UsageError, match="if base and checkpoint are swapped, swap them"):
        choose(REFERENCE.source, made)
