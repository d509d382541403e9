"""Pairs: scores of base and quantized model on the same items, joined document by document.

Scores that are not about the same items, or are no scores, are a `PairingError`. Pure: no engine, no store, no pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from quant.errors import PairingError

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from quant.scores import Item, Scores

Columns = tuple[list[float], list[float]]  # scores of base and quantized model, in one order


class Pair(NamedTuple):
    """Scores of one task by both models, joined item by item.

    `chance` is the task's guessing rate; `rival` are the scores of the format that this one competes with; `repeats`
    are further runs of the base.
    """

    base: Scores
    quantized: Scores
    chance: float = 0.0
    rival: Scores | None = None
    repeats: tuple[Scores, ...] = ()

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
        return [item.score for item in self.base.items], joined(self.base, self.quantized)

    def against(self, competitor: str) -> list[float]:
        """Return the scores of the format that this one competes with, in the order of `columns`."""
        if self.rival is None:
            raise PairingError(f"{self.base.model}-{competitor}-{self.base.task}: no scores, but the gate names it")
        return joined(self.base, self.rival)

    def clusters(self) -> list[str] | None:
        """Return the cluster of each item; None if the task has none."""
        found = [item.cluster for item in self.base.items]
        return found if any(found) else None


def joined(base: Scores, other: Scores) -> list[float]:
    """Return the scores of `other` in the order of the base's items; `PairingError` if the items are not the same."""
    left, right = _by_document(base), _by_document(other)
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


def _by_document(scores: Scores) -> dict[str, Item]:
    where = f"{scores.model}-{scores.format}-{scores.task}"
    found: dict[str, Item] = {}
    for item in scores.items:
        if item.doc_hash in found:
            raise PairingError(f"{where}: document {item.doc_hash[:12]} was scored twice")
        if not 0 <= item.score <= 1:  # also false for NaN
            raise PairingError(f"{where}: document {item.doc_hash[:12]} has the score {item.score}, not in [0, 1]")
        found[item.doc_hash] = item
    return found
