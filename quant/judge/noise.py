"""Run-to-run noise of the base: repeated runs in, what they differ by out, for the gate and for the report.

Repeated runs serve the same items in another order and with other batch sizes. Pure: no engine, no store, no pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quant.claims import Noise
from quant.errors import PairingError
from quant.stats.noise import run_noise, unprovable
from quant.stats.paired import paired_recovery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.claims import Gate
    from quant.judge.pairs import Pair
    from quant.scores import Scores
    from quant.stats.noise import RunNoise

FEW = 2  # runs; fewer tell nothing


def measured(pair: Pair) -> RunNoise | None:
    """Compare the runs of one task; None where there are fewer than two of them."""
    return run_noise(_rows(pair.repeats), pair.lowest) if len(pair.repeats) >= FEW else None


def shown(noise: RunNoise | None, raw: RunNoise | None, base: float, gate: Gate, planned: int) -> Noise | None:
    """Return what a verdict says of the noise; `raw` is that of the scores before they were normalised."""
    if noise is None or raw is None:
        return None
    hopeless = bool(unprovable(base, gate.threshold, planned, noise))
    return Noise(runs=noise.runs, flip_rate=raw.flip_rate, excess=noise.tau2, p=noise.p, unprovable=hopeless)


def against_itself(pair: Pair, gate: Gate) -> bool:
    """Say whether two runs of the base fail the gate against each other: then the machine is at fault."""
    if len(pair.repeats) < FEW:
        return False
    first, second = _rows(pair.repeats[:FEW])
    result = paired_recovery(first, second, gate.threshold, alpha=gate.alpha, lowest=pair.lowest)
    return result.verdict == "FAIL"


def _rows(repeats: Sequence[Scores]) -> list[list[float]]:
    """Return each run's scores in one order of the items; `PairingError` if they are not the same items."""
    order = [item.doc_hash for item in repeats[0].items]
    found = [{item.doc_hash: item.score for item in run.items} for run in repeats]
    for run in found:
        if run.keys() != set(order):
            where = f"{repeats[0].model}-{repeats[0].task}"
            raise PairingError(f"{where}: two runs of the base scored different items; delete them and run again")
    return [[run[document] for document in order] for run in found]
