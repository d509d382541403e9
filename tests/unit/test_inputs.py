"""What a cell needs of its model and task is found missing before an engine starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from quant.declared import KINDS
from quant.errors import ModelError
from quant.inputs.run import Inputs
from quant.matrix import BASE, Cell, Matrix
from quant.records import Hardware, Model, Task

CHAT = Task(id="chat", type="dialogue", lm_eval="chat", metric="exact_match", chat_template=True)


PLAIN = msgspec.structs.replace(CHAT, chat_template=False)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(id="small", source=str(tmp_path / "model"), context_tokens=512)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Inputs whose only model has a tokenizer without a chat template."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    save_file({"weight": np.ones((4, 4), np.float32)}, folder / "model.safetensors")
    empty: dict[str, dict[str, Any]] = {section: {} for section in (*KINDS, "gates")}
    matrix = Matrix(files=(), **empty)
    return Inputs(matrix, Hardware(kind="cpu-avx2", name="any", devices=0, capabilities=frozenset()))


def test_a_chat_task_with_a_model_that_has_no_chat_template_is_refused(inputs: Inputs, model: Model) -> None:
    with pytest.raises(
        ModelError, match=r"model 'small': task 'chat' says `chat_template = true`, but .*/model has none"
    ):
        inputs.check([Cell(model=model, format=BASE, task=CHAT)])


def test_a_chat_template_of_null_is_none(inputs: Inputs, model: Model) -> None:
    (Path(model.source) / "tokenizer_config.json").write_text('{"chat_template": null}')
    with pytest.raises(ModelError, match=r"add the model's chat_template\.jinja"):
        inputs.check([Cell(model=model, format=BASE, task=CHAT)])


@pytest.mark.parametrize(
    ("name", "text"),
    [("tokenizer_config.json", '{"chat_template": "{{ messages }}"}'), ("chat_template.jinja", "{{ messages }}")],
)
def test_a_chat_template_is_found_in_either_file(inputs: Inputs, model: Model, name: str, text: str) -> None:
    (Path(model.source) / name).write_text(text)
    inputs.check([Cell(model=model, format=BASE, task=CHAT)])


def test_a_model_without_chat_template_serves_tasks_that_want_none(inputs: Inputs, model: Model) -> None:
    inputs.check([Cell(model=model, format=BASE, task=PLAIN)])


def test_scores_with_and_without_chat_template_have_keys_of_their_own(inputs: Inputs, model: Model) -> None:
    base = inputs.base(model)
    assert inputs.scores_key(model, CHAT, base, "hf") != inputs.scores_key(model, PLAIN, base, "hf")


def test_scores_of_another_chance_have_keys_of_their_own(inputs: Inputs, model: Model) -> None:
    base, guessed = inputs.base(model), msgspec.structs.replace(PLAIN, chance=0.25)
    assert inputs.scores_key(model, guessed, base, "hf") != inputs.scores_key(model, PLAIN, base, "hf")


def test_documents_longer_than_the_models_context_are_refused(inputs: Inputs, model: Model) -> None:
    long = msgspec.structs.replace(PLAIN, metadata={"max_seq_lengths": [4096]})
    with pytest.raises(ModelError, match=r"'chat' asks in 4,096 tokens and needs 256 beside them, but .* most 512;"):
        inputs.check([Cell(model=model, format=BASE, task=long)])
