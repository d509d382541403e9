"""The drawing of recovery x cost stands alone: names at points, words for a screen reader, the same bytes each time."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from msgspec.structs import replace

from quant.report import cost, pareto
from tests.unit.printed import HARDWARE, MODEL, PRICE, average, performances

if TYPE_CHECKING:
    from pathlib import Path

    from quant.claims import Verdict

SYNC = performances("synchronous")
PASSED = [average("int8-w8a8", "PASS", 1.003), average("int4-w4a16", "PASS", 0.987)]
SVG = "{http://www.w3.org/2000/svg}"


def drawing(verdicts: list[Verdict]) -> str:
    section = cost.sections(SYNC, verdicts, [PRICE], width=132, colour=False)[0]
    return pareto.svg(section.title, section.choices)


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - we wrote it


def test_a_drawing_names_each_format_in_each_panel() -> None:
    texts = ["".join(one.itertext()).strip() for one in parsed(drawing(PASSED)).iter(f"{SVG}text")]
    assert [texts.count(name) for name in ("bf16", "int8-w8a8", "int4-w4a16", "chat-sync")] == [7, 7, 7, 1]


def test_a_drawing_says_what_it_shows() -> None:
    root = parsed(drawing(PASSED))
    title, described = (root.findtext(f"{SVG}{name}", "") for name in ("title", "desc"))
    assert title == f"cost: {MODEL} on {HARDWARE}"
    assert "chat-sync: int4-w4a16 98.7 % at 4.608e+05, int8-w8a8 100.3 % at 2.88e+05" in described


def test_the_shape_of_a_point_says_what_is_proven() -> None:
    statuses = ("PASS", "INCONCLUSIVE", "FAIL")
    assert len({drawing([PASSED[0], replace(PASSED[1], status=status)]) for status in statuses}) == 3


def test_a_drawing_has_the_same_bytes_again() -> None:
    assert drawing(PASSED) == drawing(PASSED)


def test_without_recovery_nothing_is_drawn(tmp_path: Path) -> None:
    assert pareto.write(cost.sections(SYNC, [], [PRICE], width=132, colour=False), tmp_path) == []


def test_a_model_on_two_machines_has_a_file_for_each(tmp_path: Path) -> None:
    found = [*SYNC, *(replace(one, hardware="nvidia-l4") for one in SYNC)]
    written = pareto.write(cost.sections(found, PASSED, [PRICE], width=132, colour=False), tmp_path)
    assert [file.name for file in written] == [f"pareto-{MODEL}-{HARDWARE}.svg", f"pareto-{MODEL}-nvidia-l4.svg"]
