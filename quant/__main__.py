"""`python -m quant`: the suite without pytest. `stage` is what the suite itself starts as a child process."""

from __future__ import annotations

import argparse
import sys

from quant.errors import SuiteError


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, or the error's (2 wrong input, 4 machine or engine)."""
    parser = argparse.ArgumentParser(prog="python -m quant", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stage = commands.add_parser("stage", help="serve one stage's requests from standard input")
    stage.add_argument("name")
    arguments = parser.parse_args(argv)
    try:
        from quant.stages.child import serve

        serve(arguments.name)
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
