"""Recovery x cost -> a drawing of one model: a panel a workload, a point a format, a line through the Pareto set.

Comes in: choices. Goes out: an SVG that stands alone, the same bytes for the same choices. Nothing is told by colour:
points carry names, and their shapes say what is proven of the recovery.
"""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from quant.judge import recommendation
from quant.report.recommendation import axis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from quant.judge.recommendation import Candidate, Choice
    from quant.report.cost import Section

UNSAFE = re.compile(r"[^\w.+-]+")  # in the name of a file
ACROSS = 3  # panels in a row
TICKS = 4
INCHES = (4.6, 3.6)  # of a panel
SHAPES = {"base": "s", "PASS": "o", "INCONCLUSIVE": "D", "FAIL": "X"}
SAID = {
    "base": "the unquantized model",
    "PASS": "recovery proven (PASS)",
    "INCONCLUSIVE": "not proven",
    "FAIL": "proven too low (FAIL)",
}


def write(sections: Sequence[Section], folder: Path) -> list[Path]:
    """Write `pareto-<model>.svg` for each section of which recoveries are known; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for section in sections:
        drawn = svg(section.title, section.choices)
        if drawn:
            first, models = section.choices[0], [one.choices[0].model for one in sections if one.choices]
            name = f"{first.model}-{first.hardware}" if models.count(first.model) > 1 else first.model
            file = folder / f"pareto-{UNSAFE.sub('-', name)}.svg"
            file.write_text(drawn)
            written.append(file)
    return written


def svg(title: str, choices: Sequence[Choice]) -> str:
    """Draw the workloads of one model; "" if the recovery of no format is known."""
    known = [choice for choice in choices if len(_points(choice)) > 1]
    if not known:
        return ""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    across, down = min(ACROSS, len(known)), math.ceil(len(known) / ACROSS)
    target = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "pareto", "svg.fonttype": "none"}):
        figure = Figure(figsize=(across * INCHES[0], down * INCHES[1] + 0.6), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).flatten()
        for panel, choice in zip(panels, known, strict=False):
            _draw(panel, choice)
        for panel in panels[len(known) :]:
            panel.set_axis_off()
        figure.suptitle(title)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=len(SHAPES) + 1, fontsize="small")
        figure.savefig(target, format="svg", metadata={"Title": title, "Date": None, "Creator": None})
    return _described(target.getvalue(), known)


def _points(choice: Choice) -> list[Candidate]:
    return [one for one in choice.ranked if one.recovered is not None]


def _draw(panel: Any, choice: Choice) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    points = _points(choice)
    front = recommendation.pareto(points)
    line = sorted((_place(one), 100 * (one.recovered or 0.0)) for one in points if one.format in front)
    panel.plot([x for x, _ in line], [y for _, y in line], linestyle="--", color="0.5", zorder=1)
    for one in points:
        x, y = _place(one), 100 * (one.recovered or 0.0)
        panel.errorbar(x, y, xerr=_reach(one, x), yerr=_limits(one, y), color="0.6", capsize=2, zorder=2)
        panel.plot(x, y, SHAPES[_kind(one)], color="black", markerfacecolor=_filling(one), zorder=3)
        panel.annotate(one.format, (x, y), xytext=(5, 5), textcoords="offset points", fontsize="small")
    panel.set_title(choice.workload.id, fontsize="medium")
    panel.set_xlabel(axis(choice) if choice.price else f"times bf16, by {axis(choice)}")
    panel.set_ylabel("recovery %")
    panel.margins(0.3)
    panel.xaxis.set_major_locator(MaxNLocator(TICKS))
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))


def _kind(one: Candidate) -> str:
    return "base" if one.format == recommendation.BASE else one.recovery


def _filling(one: Candidate) -> str:
    return "black" if one.recovery == "PASS" else "white"


def _place(one: Candidate) -> float:
    return one.cost.tokens_per_dollar if one.cost else one.gain


def _reach(one: Candidate, place: float) -> list[list[float]] | None:
    """Return how far the limits of the gain lie to both sides; None if there are none."""
    if one.low <= 0 or math.isinf(one.high):
        return None
    return [[place * (1 - one.low / one.gain)], [place * (one.high / one.gain - 1)]]


def _limits(one: Candidate, recovery: float) -> list[list[float]] | None:
    found = one.average
    if found is None or found.low is None or found.high is None:
        return None
    return [[max(0.0, recovery - 100 * found.low)], [max(0.0, 100 * found.high - recovery)]]


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    shapes = [
        Line2D([], [], linestyle="", marker=shape, color="black", label=SAID[kind], markerfacecolor=_fill(kind))
        for kind, shape in SHAPES.items()
    ]
    return [*shapes, Line2D([], [], linestyle="--", color="0.5", label="Pareto set")]


def _fill(kind: str) -> str:
    return "black" if kind in ("base", "PASS") else "white"


def _described(drawn: str, choices: Sequence[Choice]) -> str:
    """Tell a screen reader what the drawing shows."""
    said = "; ".join(f"{choice.workload.id}: {', '.join(map(_said, _points(choice)))}" for choice in choices)
    text = f"Recovery in percent against {axis(choices[0])} by format. {said}."
    head, rest = drawn.split("</title>", 1)
    marked = head.replace("<svg ", '<svg role="img" ', 1)
    return f"{marked}</title>\n <desc>{escape(text)}</desc>{rest}"


def _said(one: Candidate) -> str:
    return f"{one.format} {100 * (one.recovered or 0.0):.1f} % at {_place(one):,.4g}"
