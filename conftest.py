"""Every test sees the suite's options, cells, stages, verdicts, measurements, baselines and report."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.progress",
    "fixtures.cells",
    "fixtures.stages",
    "fixtures.verdicts",
    "fixtures.baselines",
    "fixtures.perf",
    "fixtures.trials",
    "fixtures.reporting",
    "pytester",
]
