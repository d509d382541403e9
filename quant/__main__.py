"""`python -m quant`: the suite without pytest. `stage` is what the suite itself starts as a child process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quant.environment import ROOT
from quant.errors import SuiteError, UsageError

GIGABYTE = 10**9


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 if worse or not sound, 3 if not proven, or the error's (2 or 4)."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quant", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stage = commands.add_parser("stage", help="serve one stage's requests from standard input")
    stage.add_argument("name")
    stage.set_defaults(run=_stage)
    cache = commands.add_parser("cache", help="list, verify or prune the store")
    cache.add_argument("action", choices=("list", "verify", "prune"))
    cache.add_argument("--store", type=Path, default=ROOT / ".store", help="default: .store")
    cache.add_argument("--keep-gb", type=float, default=20.0, help="prune to this size (default: %(default)s)")
    cache.set_defaults(run=_cache)
    judge = commands.add_parser("judge", help="verdicts from counted items, as JSON lines")
    judge.add_argument("counts", type=Path, help="CSV: cell,task,n,base_correct,worse,better,threshold[,chance]")
    judge.add_argument(
        "--alpha", type=float, default=0.05, help="one-sided error of each verdict (default: %(default)s)"
    )
    judge.add_argument(
        "--definition", choices=("macro", "item"), default="macro", help="average that gates (default: %(default)s)"
    )
    judge.add_argument("-o", "--output", type=Path, help="write here instead of to standard output")
    judge.set_defaults(run=_judge)
    return parser


def _stage(arguments: argparse.Namespace) -> int:
    from quant.stages.child import serve

    serve(arguments.name)
    return 0


def _cache(arguments: argparse.Namespace) -> int:
    from quant import cache
    from quant.store import Store

    store = Store(arguments.store)
    if arguments.action == "prune":
        print(*cache.prune(store, int(arguments.keep_gb * GIGABYTE)), sep="\n")
        return 0
    lines = list(cache.listing(store)) if arguments.action == "list" else cache.verify(store)
    print(*lines or ["all entries are sound"], sep="\n")
    return 1 if arguments.action == "verify" and lines else 0


def _judge(arguments: argparse.Namespace) -> int:
    import msgspec

    from quant.judge import counted

    if arguments.output and not arguments.output.absolute().parent.is_dir():
        raise UsageError(f"-o {arguments.output}: the folder does not exist; create it first")
    lines = counted.judge(counted.read(arguments.counts), alpha=arguments.alpha, definition=arguments.definition)
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    try:
        arguments.output.write_bytes(text) if arguments.output else print(text.decode(), end="")
    except OSError as error:
        raise UsageError(f"-o {arguments.output}: cannot be written: {error.strerror}") from None
    return counted.exit_code(lines)


if __name__ == "__main__":
    sys.exit(main())
