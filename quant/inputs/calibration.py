"""What calibrates a model in a format: a format's own values before those of the model, texts on this machine.

Comes in: a `Model`, a `Format`, the store. Goes out: a `Calibration` with nothing left out, or a `UsageError`. Imports
no torch and no datasets.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quant.errors import UsageError
from quant.inputs import hub, models, sources
from quant.records import Calibration

if TYPE_CHECKING:
    from quant.records import Format, Model
    from quant.store import Store


def stated(model: Model, fmt: Format) -> Calibration | None:
    """Return what the matrix says; None for a data-free format, and for one that somebody else quantized."""
    if fmt.calibration is None:
        return None
    own, advised = fmt.calibration, model.calibration or Calibration()
    source = own if own.texts else advised  # a revision belongs to its texts
    found = Calibration(
        texts=source.texts,
        revision=source.revision,
        samples=own.samples or advised.samples,
        tokens=own.tokens or advised.tokens,
    )
    if lacks := [name for name in ("texts", "samples", "tokens") if not getattr(found, name)]:
        raise UsageError(
            f"{model.id}-{fmt.id}: the format is calibrated, but neither it nor the model says with which"
            f" {', '.join(lacks)}; add `calibration = {{ texts = ..., samples = ..., tokens = ... }}` to the model"
        )
    return found


def pin(model: Model, fmt: Format) -> None:
    """Raise `ModelError` if the texts are a data set of the hub, but not named by a full commit; fetches nothing."""
    if found := stated(model, fmt):
        models.pin(f"{model.id}-{fmt.id}: calibration", found.texts, found.revision, kind="dataset")


def find(said: Calibration, store: Store | None, where: str) -> Calibration:
    """Return a calibration with its texts on this machine; without a store, nothing is fetched."""
    if hub.elsewhere(said.texts):
        return sources.texts(said, store, where) if store else said
    if said.revision:
        raise UsageError(
            f"{where}: a calibration file ({said.texts}) has no revision; remove `revision = {said.revision!r}`"
        )
    if not Path(said.texts).is_file():
        raise UsageError(f"{where}: calibration file {said.texts} is missing")
    return said
