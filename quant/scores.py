"""Scores of a task, item by item, and which items of it were asked for.

Comes in: nothing. Goes out: record types and two counts. Must not import torch, vllm, pytest or any other room.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from quant.records import SCHEMA, Backend, Record


def planned(items: int, documents: int) -> int:
    """Return how many items a task has, of `documents` in its file; `items` bounds them, 0 does not."""
    return min(items, documents) if items else documents


def head(count: int, share: float) -> int:
    """Return how many of `count` planned items the first `share` is; who asks and who scores must agree."""
    return math.ceil(share * count)


class Item(Record, frozen=True, kw_only=True, array_like=True):
    """One scored document: three hashes identify what was asked, `score` lies in [0, 1].

    Items of one `cluster` depend on each other; "" if the task has none. `chance` is the rate at which guessing is
    right; 0 where nothing is chosen from, or nobody says.
    """

    doc_hash: str
    prompt_hash: str
    target_hash: str
    score: float
    cluster: str = ""
    chance: float = 0.0


class Scores(Record, frozen=True, kw_only=True):
    """One task of one checkpoint, item by item, in the task's random order; `record` is its key in the store.

    `items` are the first of `planned`, the number decided before the run; `seconds` is what serving them took.
    """

    model: str
    format: str
    task: str
    metric: str
    filter: str
    backend: Backend
    items: tuple[Item, ...]
    planned: int
    seconds: float
    load_seconds: float
    started: float
    engine: dict[str, Any] = {}  # noqa: RUF012 - msgspec gives each record its own
    record: str = ""
    schema: int = SCHEMA

    def first(self, share: float) -> Scores:
        """Return the first `share` of the planned items, with the seconds that they took."""
        if share == 1:
            return self
        items = self.items[: head(self.planned, share)]
        seconds = self.seconds * len(items) / max(len(self.items), 1)
        return msgspec.structs.replace(self, items=items, seconds=seconds)
