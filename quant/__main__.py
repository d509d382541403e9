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
    judge = commands.add_parser("judge", help="verdicts from stored records or from counted items, as JSON lines")
    judge.add_argument(
        "source",
        type=Path,
        help="results.json of a run, or a CSV: cell,task,n,base_correct,worse,better,threshold[,chance]",
    )
    judge.add_argument(
        "--alpha", type=float, help="one-sided error of each verdict (default: the run's own, else 0.05)"
    )
    judge.add_argument(
        "--definition", choices=("macro", "item"), help="average that gates (default: the run's own, else macro)"
    )
    judge.add_argument(
        "--store", type=Path, default=ROOT / ".store", help="where the run's records are (default: .store)"
    )
    judge.add_argument("-o", "--output", type=Path, help="write here instead of to standard output")
    judge.set_defaults(run=_judge)
    _declare_gate(commands.add_parser("gate", help="one checkpoint against its base; 1 if worse, 3 if not proven"))
    declared = commands.add_parser("matrix", help="check a matrix file, or print the JSON schema of one")
    declared.add_argument("action", choices=("check", "schema"))
    declared.add_argument("file", nargs="?", type=Path, help="the file to check")
    declared.set_defaults(run=_matrix)
    _declare_plan(
        commands.add_parser("plan", help="what a suite can prove, before anything is run; 3 if not all averages")
    )
    _declare_recommend(commands.add_parser("recommend", help="which format to deploy, from the results of runs"))
    return parser


def _declare_recommend(recommend: argparse.ArgumentParser) -> None:
    recommend.add_argument(
        "results", nargs="+", type=Path, help="results.json of a run; of several that tell of one cell, the last counts"
    )
    recommend.add_argument("--matrix", default="", metavar="FILE", help="adds to the reference matrix, as prices")
    recommend.add_argument("--output", type=Path, metavar="DIR", help="draw recovery x cost there, a file a model")
    recommend.set_defaults(run=_recommend)


def _declare_gate(gate: argparse.ArgumentParser) -> None:
    gate.add_argument("--checkpoint", required=True, metavar="P", help="the quantized files, a folder or hub:org/name")
    gate.add_argument("--base", default="", metavar="B", help="the unquantized model that it was made of")
    gate.add_argument("--suite", default="", help="default: reference, if the base is one of its models")
    gate.add_argument("--matrix", default="", metavar="FILE", help="adds to the reference matrix")
    gate.add_argument("--gate", default="", metavar="PROFILE", help="how strict (default: release)")
    gate.add_argument("--backend", default="", choices=("auto", "vllm", "hf"), help="default: auto")
    gate.add_argument("--store", default="", metavar="DIR", help="default: .store")
    gate.add_argument("--report", default="", metavar="DIR", help="where results.json is written (default: the store)")
    gate.set_defaults(run=_gate)


def _declare_plan(planner: argparse.ArgumentParser) -> None:
    planner.add_argument("--matrix", default="", metavar="FILE", help="adds to the reference matrix")
    planner.add_argument("--suite", default="reference", help="default: %(default)s")
    planner.add_argument("--models", default="", metavar="A,B", help="default: those of the suite")
    planner.add_argument("--formats", default="", metavar="A,B", help="default: those of the suite")
    planner.add_argument("--gate", default="release", metavar="PROFILE", help="how strict (default: %(default)s)")
    planner.add_argument("--full", action="store_true", help="plan to score all items")
    planner.add_argument("--store", type=Path, default=ROOT / ".store", help="default: .store")
    planner.add_argument("--backend", default="auto", choices=("auto", "vllm", "hf"), help="default: %(default)s")
    planner.add_argument(
        "--power", type=float, default=0.8, help="chance of a proof to plan for (default: %(default)s)"
    )
    planner.add_argument("--recovery", type=float, default=1.0, help="true recovery to plan for (default: %(default)s)")
    planner.add_argument("--json", action="store_true", help="JSON instead of a table")
    planner.set_defaults(run=_plan)


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

    from quant import stored
    from quant.judge import counted
    from quant.store import Store

    if arguments.output and not arguments.output.absolute().parent.is_dir():
        raise UsageError(f"-o {arguments.output}: the folder does not exist; create it first")
    alpha, definition = arguments.alpha, arguments.definition
    if arguments.source.suffix == ".json":
        lines = stored.lines(stored.judge(arguments.source, Store(arguments.store), alpha, definition))
    else:
        rows = counted.read(arguments.source)
        lines = counted.judge(rows, alpha=0.05 if alpha is None else alpha, definition=definition or "macro")
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    try:
        arguments.output.write_bytes(text) if arguments.output else print(text.decode(), end="")
    except OSError as error:
        raise UsageError(f"-o {arguments.output}: cannot be written: {error.strerror}") from None
    return counted.exit_code(lines)


def _gate(arguments: argparse.Namespace) -> int:
    from quant import gate

    return gate.run({name: said for name, said in vars(arguments).items() if name not in ("command", "run")})


def _matrix(arguments: argparse.Namespace) -> int:
    from quant import added, schema

    if arguments.action == "schema":
        print(schema.text(), end="")
        return 0
    if arguments.file is None:
        raise UsageError("matrix check: no file given; name the matrix file to check")
    print(*added.check(arguments.file), sep="\n")
    return 0


def _recommend(arguments: argparse.Namespace) -> int:
    import shutil

    from quant import recommend
    from quant.report import pareto

    width, colour = shutil.get_terminal_size().columns, sys.stdout.isatty()
    found = recommend.sections(arguments.results, arguments.matrix, width=width, colour=colour)
    for section in found:
        print(section.title, *section.lines, "", sep="\n")
    try:
        drawn = pareto.write(found, arguments.output) if arguments.output else []
    except OSError as error:
        raise UsageError(f"--output {arguments.output}: cannot be written: {error.strerror}") from None
    print(*(f"drawn: {file}" for file in drawn), sep="\n", end="\n" if drawn else "")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    import shutil

    import msgspec

    from quant import hardware, plan, reading
    from quant.inputs.run import Inputs
    from quant.jobs import Context
    from quant.report import plan as report
    from quant.store import Store

    declared = reading.declared(arguments.matrix)
    profile = declared.profile(arguments.gate, full=arguments.full)
    chosen = ([*dict.fromkeys(filter(None, names.split(",")))] for names in (arguments.models, arguments.formats))
    cells = list(declared.cells(arguments.suite, *chosen, items=profile.items))
    try:
        store = Store(arguments.store.resolve())
    except OSError as error:
        raise UsageError(f"--store {arguments.store}: cannot be used: {error.strerror}") from None
    inputs = Inputs(declared, hardware.probe(), store=store)
    inputs.check(cells, pinned=profile.pinned)
    found = plan.plan(
        Context(inputs, store, lambda _message: None),
        arguments.suite,
        cells,
        profile,
        backend=arguments.backend,
        target=arguments.power,
        recovery=arguments.recovery,
    )
    width, colour = shutil.get_terminal_size().columns, sys.stdout.isatty()
    lines = report.table(found, width=width, colour=colour), "", *report.remarks(found)
    print(*([msgspec.json.encode(found).decode()] if arguments.json else lines), sep="\n")
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main())
