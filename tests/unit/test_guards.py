"""What else the machine does while something is measured is noticed."""

from __future__ import annotations

import subprocess
import sys

from quant.stages.guards import Usage, taken, watched

BUSY = "while True: pass"


def usage(*, at: float, busy: float, stolen: float = 0.0, own: float = 0.0) -> Usage:
    return Usage(at, busy, stolen, own)


def test_other_processes_that_take_a_third_of_two_cpus_are_named() -> None:
    before, after = usage(at=10, busy=100, own=20), usage(at=20, busy=116, own=29.4)

    assert taken(before, after, 0.10, 2) == ["other processes took 33% of the CPU"]


def test_what_the_measured_processes_take_is_no_disturbance() -> None:
    before, after = usage(at=10, busy=100, own=20), usage(at=20, busy=120, own=39)

    assert taken(before, after, 0.10, 2) == []


def test_time_that_a_host_takes_from_its_virtual_machine_is_named_as_such() -> None:
    before, after = usage(at=0, busy=0), usage(at=10, busy=14, stolen=4, own=10)

    assert taken(before, after, 0.10, 2) == ["the host of this virtual machine took 20% of the CPU"]


def test_a_neighbour_that_keeps_a_core_busy_is_noticed() -> None:
    found: list[str] = []
    with watched(found):
        # Started by another process that is gone: no child of this one.
        start = f"s.Popen([sys.executable, '-c', {BUSY!r}], stdout=s.DEVNULL, stderr=s.DEVNULL)"
        script = f"import subprocess as s, sys; print({start}.pid)"
        pid = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.strip()
        subprocess.run(["sleep", "2"], check=True)
        subprocess.run(["kill", pid], check=True)

    assert "other processes took" in found[0]
