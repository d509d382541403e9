"""The shape of a matrix file as JSON Schema (draft 2020-12), for editors that complete and check TOML.

Comes in: nothing; the records are the schema. Goes out: JSON, committed as `fixtures/data/matrix.schema.json`. What a
schema cannot say (names that must be declared, files that must exist) is said by `quant.added`. Imports no torch.
"""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec

from quant.declared import KINDS
from quant.records import Family

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(matrix(), indent=1) + "\n"


def matrix() -> dict[str, Any]:
    """Return the schema of a matrix file."""
    _, parts = msgspec.json.schema_components(KINDS.values(), ref_template="#/$defs/{name}")
    for kind in KINDS.values():
        _without_id(parts[kind.__name__])
    _as_in_a_file(parts["Format"])
    threshold = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    gates = {"type": "object", "properties": dict.fromkeys(get_args(Family), threshold), "additionalProperties": False}
    tables = {
        name: {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{kind.__name__}"}}
        for name, kind in KINDS.items()
    }
    return {
        "$schema": DRAFT,
        "title": "Matrix of models, formats, tasks and suites",
        "type": "object",
        "properties": {"include": {"type": "array", "items": {"type": "string"}}, "gates": gates, **tables},
        "additionalProperties": False,
        "$defs": parts,
    }


def _as_in_a_file(part: dict[str, Any]) -> None:
    """Say of a format what its file says: a recipe is a table or a YAML file, and the family may follow from it."""
    table = {"type": "object", "additionalProperties": {"type": "object"}}
    part["properties"]["recipe"] = {"anyOf": [table, {"type": "string", "pattern": r"\.ya?ml$"}]}
    part["required"].remove("family")


def _without_id(part: dict[str, Any]) -> None:
    """Drop `id`: in a file it is the name of the table."""
    part["properties"].pop("id", None)
    part["required"] = [name for name in part.get("required", []) if name != "id"]
