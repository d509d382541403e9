"""No token leaves this process: not in an error, not in a stage's message or log, not in a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quant.environment import child_environment
from quant.errors import StageError, UsageError
from quant.inputs import sources
from quant.redaction import redact
from quant.stages.process import StageProcess
from quant.stages.protocol import QuantizeRequest
from quant.store import Store

if TYPE_CHECKING:
    from pathlib import Path

TOKEN, KEY = "hf_plantedplantedplantedplanted", "planted/secret+access"


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets in the environment, as a runner has them."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (f"401 for Bearer {TOKEN}", "401 for Bearer ***"),
        (f"SignatureDoesNotMatch: {KEY}", "SignatureDoesNotMatch: ***"),
        ("no route to https://me:word@host/v1", "no route to https://***@host/v1"),
        ("s3://b/m?X-Amz-Signature=0a1b2c&part=1", "s3://b/m?X-Amz-Signature=***&part=1"),
        ("another's hf_abcdefghijklmnopqrstuvwx", "another's ***"),
        ("hub:org/name@main has 1,024 tokens", "hub:org/name@main has 1,024 tokens"),
    ],
)
def test_secrets_are_masked_and_nothing_else(said: str, written: str) -> None:
    assert redact(said) == written


def test_a_short_value_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "true")
    assert redact("it is true") == "it is true"


def test_no_error_holds_a_token() -> None:
    assert str(UsageError(f"refused {TOKEN}")) == "refused ***"


def test_no_message_and_no_log_of_a_stage_holds_a_token(tmp_path: Path) -> None:
    log = tmp_path / "stage.log"
    process = StageProcess(TOKEN, child_environment("cpu-avx2"), log)  # argparse or the stage says its name
    request = QuantizeRequest(label="x", model="m", output="o", dtype="bfloat16", recipe=())
    with pytest.raises(StageError) as caught:
        process.ask(request, lambda _message: None, 60)
    assert (TOKEN in str(caught.value), "***" in log.read_text(), TOKEN in log.read_text()) == (False, True, False)


def test_no_record_of_a_fetched_file_holds_a_password(tmp_path: Path) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/me:planted@host/texts.jsonl", b'{"text": "a"}\n')
    store = Store(tmp_path)
    sources.fetch("memory://me:planted@host/texts.jsonl", store, "texts")
    assert [manifest.inputs for _, manifest in store.manifests()] == [{"url": "memory://***@host/texts.jsonl"}]
