"""Bad input ends a run with a clear error before any engine starts: no stage has written a log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def copied(world: Path, tmp_path: Path) -> Path:
    """A copy of the small world that a test may break, model included."""
    return Path(shutil.copytree(world, tmp_path / "world"))


def change(folder: Path, old: str, new: str, file: str = "matrix.toml") -> None:
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace(old, new, 1))


def unknown_key(folder: Path) -> None:
    change(folder, "context_tokens", "context_length")


def unknown_format(folder: Path) -> None:
    change(folder, '"int4-w4a16"]', '"int4-w4a17"]')


def missing_model(folder: Path) -> None:
    change(folder, "models/ref-4m", "models/ref-5m")


def missing_revision(folder: Path) -> None:
    change(folder, '"models/ref-4m"', '"hub:nobody/nothing"\nrevision = "0123456789012345678901234567890123456789"')


def pickled_weights(folder: Path) -> None:
    (folder / "models" / "ref-4m" / "model.safetensors").rename(folder / "models" / "ref-4m" / "pytorch_model.bin")


def truncated_weights(folder: Path) -> None:
    file = folder / "models" / "ref-4m" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def missing_data(folder: Path) -> None:
    (folder / "tasks" / "facts" / "test.jsonl").unlink()


def missing_calibration(folder: Path) -> None:
    (folder / "calibration" / "world.jsonl").unlink()


def waive(folder: Path, *changed: str) -> None:
    entry = {"cell": '"ref-4m-int8-w8a8-facts"', "reason": '"known"', "owner": '"us"', "issue": '"#1"'}
    lines = [f"{key} = {value}" for key, value in (entry | {"expires": "2999-01-31"}).items()]
    text = "\n".join(["[[waivers]]", *lines]).replace(*changed)
    (folder / "waivers.toml").write_text(text)


def expired_waiver(folder: Path) -> None:
    waive(folder, "2999-01-31", "2020-01-31")


def unmatched_waiver(folder: Path) -> None:
    waive(folder, "facts", "fact")


def falling_looks(folder: Path) -> None:
    change(folder, "\n[gates]\n", "\n[profiles.release]\nlooks = [0.5, 0.25, 1.0]\n\n[gates]\n")


def unknown_competitor(folder: Path) -> None:
    change(folder, 'competitor = "int8-w8a8"', 'competitor = "int8-w8a9"', "formats.toml")


MISTAKES = {
    expired_waiver: "*waivers.toml:1: the waiver of ref-4m-int8-w8a8-facts expired on 2020-01-31; renew or delete it*",
    unmatched_waiver: "*waivers.toml:1: no cell of any suite is called 'ref-4m-int8-w8a8-fact' (did you mean*",
    falling_looks: "*matrix.toml:*[[]profiles.release[]] looks rise from above 0 to 1.0; found [[]0.5, 0.25, 1.0[]]*",
    unknown_competitor: "*[[]formats.int4-w4a16[]] no format is called 'int8-w8a9' (did you mean 'int8-w8a8'*",
    unknown_key: "*matrix.toml:*[[]models.ref-4m[]] unknown key 'context_length'*did you mean 'context_tokens'*",
    unknown_format: "*matrix.toml:*[[]suites.reference[]] no format is called 'int4-w4a17' (did you mean 'int4-w4a16'*",
    missing_model: "*model 'ref-4m': no such folder: *ref-5m*",
    missing_revision: "*model 'ref-4m': nobody/nothing at revision 01234567890*56789 was found neither*",
    pickled_weights: "*the weights in *ref-4m are pickles (pytorch_model.bin)*",
    truncated_weights: "*model.safetensors is truncated*",
    missing_data: "*task 'facts': *test.jsonl is missing*",
    missing_calibration: "ref-4m-int8-w8a8: calibration file *world.jsonl is missing*",
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.items(), ids=[mistake.__name__ for mistake in MISTAKES])
def test_a_mistake_is_named_before_an_engine_starts(
    session: Callable[..., pytest.RunResult],
    copied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[Path], None],
    message: str,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    mistake(copied)
    found = session("--matrix", copied / "matrix.toml", "--store", tmp_path / "store")
    found.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert (found.ret, list(tmp_path.glob("store/logs/*"))) == (pytest.ExitCode.USAGE_ERROR, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--gate", "nightli"), "*no profile 'nightli' (did you mean 'nightly'?); there are pr, nightly, release"),
        (("--noise-floor", "1"), "--noise-floor 1: run noise needs 2 runs of the base, and 5 before the gate uses it"),
    ],
)
def test_a_bad_option_is_answered_with_what_is_possible(
    session: Callable[..., pytest.RunResult], options: tuple[str, str], message: str
) -> None:
    found = session(*options)
    found.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert found.ret == pytest.ExitCode.USAGE_ERROR
