"""The JSON schema that editors read is that of the records, and accepts what the reference matrix says."""

from __future__ import annotations

import tomllib

import jsonschema
import pytest

from quant import schema
from quant.environment import DEFAULT_MATRIX

DATA = DEFAULT_MATRIX.parent
FILES = [file for file in sorted(DATA.glob("*.toml")) if file.name != "waivers.toml"]


def test_the_committed_schema_is_that_of_the_records() -> None:
    """If not: `python -m quant matrix schema > fixtures/data/matrix.schema.json`."""
    assert (DATA / "matrix.schema.json").read_text() == schema.text()


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_the_schema_accepts_the_reference_matrix(file: object) -> None:
    jsonschema.validate(tomllib.loads((DATA / str(file)).read_text()), schema.matrix())


@pytest.mark.parametrize(
    "wrong",
    [
        '[models.m]\nsource = "m"\ncontext_token = 1',
        '[models.m]\nsource = "m"\ncontext_tokens = "long"',
        '[formats.f]\npurpose = "p"\nrecipe = "recipe.json"',
        "[gates]\nint8 = 97",
        "[gate]\nint8 = 0.97",
    ],
)
def test_the_schema_refuses_what_reading_refuses(wrong: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(wrong), schema.matrix())
