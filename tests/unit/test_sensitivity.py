"""The table of sabotage says which gate caught what, and that nothing caught a control."""

from __future__ import annotations

from quant.report.sensitivity import Catch, table

CAUGHT = Catch(
    sabotage="layer-scales",
    format="int8-w8a8",
    gate="average",
    caught=True,
    gates={"checkpoint": False, "pairing": False, "task": False, "average": True},
    dose=1.5,
    items=1350,
    seconds=21.46,
    why="recovery 80 %",
)
CONTROL = Catch(
    sabotage="sharded",
    format="int8-w8a8",
    gate="",
    caught=False,
    gates={"checkpoint": False, "pairing": False, "task": False, "average": False},
    dose=None,
    items=450,
    seconds=7.0,
    why="",
)


def cells(catch: Catch) -> list[str]:
    return table([catch], width=120, colour=False).splitlines()[1].split()


def test_a_caught_sabotage_carries_a_star_at_its_gate() -> None:
    expected = ["layer-scales", "int8-w8a8", "1.5", "missed", "missed", "missed", "caught*", "1,350", "21.5"]
    assert cells(CAUGHT) == expected


def test_a_gate_that_was_not_asked_says_nothing() -> None:
    refused = Catch(
        sabotage="nan-scale",
        format="fp8-dynamic",
        gate="checkpoint",
        caught=True,
        gates={"checkpoint": True},
        dose=None,
        items=0,
        seconds=0.0,
        why="found nan",
    )
    assert cells(refused) == ["nan-scale", "fp8-dynamic", "-", "caught*", "-", "-", "-", "0", "0.0"]


def test_of_a_control_silence_is_reported() -> None:
    assert cells(CONTROL) == ["sharded", "int8-w8a8", "-", "silent", "silent", "silent", "silent", "450", "7.0"]
