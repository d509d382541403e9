"""The parent's side of a stage: start its process, ask, listen, kill its whole tree when time is up.

Comes in: a stage's name and requests. Goes out: messages; `StageError` naming the log when the child fails or dies.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from quant.errors import StageError
from quant.redaction import redact
from quant.stages.protocol import Message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from quant.records import Record

LOG_SECONDS = 2.0


class StageProcess:
    """One child in a process group of its own; it lives until `close`, a failure or a timeout."""

    def __init__(self, stage: str, environment: dict[str, str], log: Path, python: str = "") -> None:
        self.stage, self.log = stage, log
        self._child = subprocess.Popen(
            [python or sys.executable, "-m", "quant", "stage", stage],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        log.touch()
        self._writing = threading.Thread(target=self._write_log, daemon=True)
        self._writing.start()
        self._unread = b""
        self._closing = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._child.poll() is None

    def ask(self, request: Record, hear: Callable[[Message], None], timeout_seconds: float) -> float:
        """Send one request, pass on every message, return the child's seconds; on failure the tree is killed."""
        deadline = time.monotonic() + timeout_seconds
        try:
            assert self._child.stdin is not None  # noqa: S101 - opened as a pipe above
            self._child.stdin.write(msgspec.json.encode(request) + b"\n")
            self._child.stdin.flush()
            while True:
                message = self._next(deadline, timeout_seconds)
                if message.event == "done":
                    return message.seconds
                self._raise_if_failed(message)
                hear(message)
        except OSError as error:
            self.close()
            raise StageError(f"{self.stage}: its process died ({error}); log: {self.log}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the whole tree and wait until it is gone, so that its memory is free."""
        with self._closing:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._writing.join(LOG_SECONDS)  # so that a message that names the log finds its last line there
            for stream in (self._child.stdin, self._child.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _write_log(self) -> None:
        """Write what the child says beside its messages, line by line, without tokens."""
        assert self._child.stderr is not None  # noqa: S101 - opened as a pipe above
        with self._child.stderr as lines, self.log.open("a", encoding="utf-8", buffering=1) as file:
            for line in lines:
                file.write(redact(line.decode(errors="replace")))

    def _raise_if_failed(self, message: Message) -> None:
        if message.event == "error":
            raise StageError(f"{self.stage} failed: {message.text}; log: {self.log}")

    def _next(self, deadline: float, timeout_seconds: float) -> Message:
        assert self._child.stdout is not None  # noqa: S101 - opened as a pipe above
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = deadline - time.monotonic()
                if left <= 0 or not waiting.select(left):
                    raise StageError(
                        f"{self.stage}: no answer within {timeout_seconds:,.0f} s, killed; log: {self.log}"
                    )
                chunk = os.read(self._child.stdout.fileno(), 1 << 16)
                if not chunk:
                    code = self._child.wait()
                    raise StageError(f"{self.stage}: its process ended with code {code}; log: {self.log}")
                self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return msgspec.json.decode(redact(line.decode()), type=Message)
