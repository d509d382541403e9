"""Every test sees the suite's options, cells, stages, verdicts and report."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.progress",
    "fixtures.cells",
    "fixtures.stages",
    "fixtures.verdicts",
    "fixtures.trials",
    "fixtures.reporting",
    "pytester",
]
