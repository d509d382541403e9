"""Pairs: scores of base and quantized model on the same items, joined document by document, raw or normalised.

Scores that are not about the same items, or are no scores, are a `PairingError`. Pure: no engine, no store, no pytest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from quant.errors import PairingError

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from quant.scores import Item, Scores

Columns = tuple[list[float], list[float]]  # scores of base and quantized model, in one order


class Pair(NamedTuple):
    """Scores of one task by both models, joined item by item.

    `rival` are the scores of the format that this one competes with; `repeats` are further runs of the base. `lowest`
    is what an item scores at least, below 0 where scores are normalised.
    """

    base: Scores
    quantized: Scores
    rival: Scores | None = None
    repeats: tuple[Scores, ...] = ()
    lowest: float = 0.0

    @property
    def chance(self) -> float:
        """The rate at which guessing is right: the mean over items; 0 of normalised ones."""
        rates = [item.chance for item in self.base.items if self.lowest == 0]
        if len(set(rates)) <= 1:
            return rates[0] if rates else 0.0
        return math.fsum(rates) / len(rates)

    def normalised(self) -> Pair:
        """Return the pair with (y - c)/(1 - c) for each score y on all sides, c the chance of its item.

        A guess then scores 0 on average. To normalise a pair again changes nothing.
        """
        if self.lowest < 0:
            return self

        def scaled(scores: Scores) -> Scores:
            where = f"{scores.model}-{scores.format}-{scores.task}"
            return replace(scores, items=tuple(_normalised(item, where) for item in scores.items))

        lowest = min((_lowest(item) for item in self.base.items if item.chance < 1), default=0.0)
        return Pair(
            scaled(self.base),
            scaled(self.quantized),
            self.rival and scaled(self.rival),
            tuple(map(scaled, self.repeats)),
            lowest,
        )

    def first(self, share: float) -> Pair:
        """Return the first share of the planned items on both sides."""
        rival = self.rival and self.rival.first(share)
        return self._replace(base=self.base.first(share), quantized=self.quantized.first(share), rival=rival)

    def only(self, documents: Container[str]) -> Pair:
        """Return the items of these documents on all sides."""
        if all(item.doc_hash in documents for item in self.base.items):
            return self

        def cut(scores: Scores) -> Scores:
            return replace(scores, items=tuple(item for item in scores.items if item.doc_hash in documents))

        return self._replace(
            base=cut(self.base),
            quantized=cut(self.quantized),
            rival=self.rival and cut(self.rival),
            repeats=tuple(map(cut, self.repeats)),
        )

    def columns(self) -> Columns:
        """Return both models' scores in one order; `PairingError` if they are not about the same items."""
        return [item.score for item in self.base.items], joined(self.base, self.quantized, self.lowest)

    def against(self, competitor: str) -> list[float]:
        """Return the scores of the format that this one competes with, in the order of `columns`."""
        if self.rival is None:
            raise PairingError(f"{self.base.model}-{competitor}-{self.base.task}: no scores, but the gate names it")
        return joined(self.base, self.rival, self.lowest)

    def clusters(self) -> list[str] | None:
        """Return the cluster of each item; None if the task has none."""
        found = [item.cluster for item in self.base.items]
        return found if any(found) else None


def joined(base: Scores, other: Scores, lowest: float = 0.0) -> list[float]:
    """Return the scores of `other` in the order of the base's items; `PairingError` if the items are not the same."""
    left, right = _by_document(base, lowest), _by_document(other, lowest)
    where = f"{other.model}-{other.format}-{other.task}"
    if base.backend != other.backend and "server" not in (base.backend, other.backend):
        raise PairingError(f"{where}: base was served by {base.backend}, the format by {other.backend}")
    if lost := left.keys() ^ right.keys():
        msg = f"{where}: {len(lost)} items are in one record only (base n={len(left)}, quantized n={len(right)})"
        raise PairingError(f"{msg}; evaluate both again")
    for document, item in left.items():
        theirs = right[document]
        if (item.prompt_hash, item.target_hash) != (theirs.prompt_hash, theirs.target_hash):
            raise PairingError(f"{where}: document {document[:12]} had another prompt or target for each model")
        if item.chance != theirs.chance:
            raise PairingError(f"{where}: document {document[:12]} had another chance for each; evaluate both again")
    return [right[document].score for document in left]


def once(pairs: Sequence[Pair]) -> list[Pair]:
    """Leave out what an earlier task has already: an item of a task inside another counts once in their average."""
    seen: set[str] = set()
    kept = []
    for pair in pairs:
        own = {item.doc_hash for item in pair.base.items} - seen
        if own:
            kept.append(pair.only(own))
        seen |= own
    return kept


def _normalised(item: Item, where: str) -> Item:
    if not item.chance:
        return item
    if item.chance >= 1:
        raise PairingError(f"{where}: any guess of document {item.doc_hash[:12]} is right; it has no normalised score")
    return replace(item, score=(item.score - item.chance) / (1 - item.chance))


def _lowest(item: Item) -> float:
    return (0.0 - item.chance) / (1 - item.chance)


def _by_document(scores: Scores, lowest: float) -> dict[str, Item]:
    where = f"{scores.model}-{scores.format}-{scores.task}"
    found: dict[str, Item] = {}
    for item in scores.items:
        if item.doc_hash in found:
            raise PairingError(f"{where}: document {item.doc_hash[:12]} was scored twice")
        if not lowest <= item.score <= 1:  # also false for NaN
            wrong = f"has the score {item.score}, not in [{lowest:.4g}, 1]"
            raise PairingError(f"{where}: document {item.doc_hash[:12]} {wrong}")
        found[item.doc_hash] = item
    return found
