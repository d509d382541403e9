"""The one error tree. A message says where (file, line, cell), what was expected, what was found, what to do next.

`exit_code` is what `python -m quant` ends with: 2 for a mistake in the input, 4 when the machine or an engine failed.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from quant.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable


class SuiteError(Exception):
    """Root of everything the suite raises on purpose. No message of these holds a token or a password."""

    exit_code = 4

    def __init__(self, message: object = "") -> None:
        super().__init__(redact(str(message)))


class UsageError(SuiteError):
    """The input is wrong: found before anything expensive starts."""

    exit_code = 2


class MatrixError(UsageError):
    """A matrix file holds an unknown key, a wrong value or a name that nothing defines."""


class ModelError(UsageError):
    """A model's folder, revision or weight files cannot be used."""


class EndpointError(UsageError):
    """A server does not answer, or not in a way that can be scored; the message names its URL."""


class TaskError(UsageError):
    """A task's definition or data cannot be used."""


class CheckpointError(SuiteError):
    """A checkpoint's files are not what its format or its base promise: no engine is started for it."""


class PairingError(SuiteError):
    """Scores of base and quantized model do not describe the same items: no verdict may be computed."""


class StageError(SuiteError):
    """A child process failed, timed out or died; the message names its log."""


def closest(name: str, valid: Iterable[str]) -> str:
    """Return the guess that a message about an unknown name makes, "" if nothing is close."""
    close = difflib.get_close_matches(name, list(valid), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
