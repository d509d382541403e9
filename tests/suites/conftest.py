"""What the installed lm-eval says of the declared tasks, made-up rows where it looks for data, and a running stage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX, ROOT, child_environment
from quant.stages.process import StageProcess
from tests.suites import llama as tiny
from tests.suites.rows import Config, keep, keep_metric, keep_sentences, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quant.records import Task

SUITES = ("openllm-v1", "openllm-v2", "coding", "long-context", "thirteen")
FOLDERS = (  # of lm-eval's tasks: to read all of them takes 8 s
    "arc",
    "gsm8k",
    "hellaswag",
    "humaneval",
    "leaderboard",
    "llama3/instruct/arc_challenge",
    "llama3/instruct/gsm8k",
    "llama3/instruct/mmlu",
    "llama3/instruct/mmlu_cot",
    "mbpp",
    "mmlu/default",
    "ruler",
    "truthfulqa",
    "winogrande",
)
READ = """
import json, sys
from pathlib import Path
import lm_eval.tasks
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Kind
from lm_eval.tasks._yaml_loader import load_yaml

home = Path(lm_eval.tasks.__file__).parent
known = TaskManager(include_path=[home / name for name in sys.argv[1].split()], include_defaults=False).task_index

def leaves(name):
    entry = known[name]
    if entry.kind is Kind.TAG:
        return [leaf for tag in sorted(entry.tags) for leaf in leaves(tag)]
    config = load_yaml(entry.yaml_path, resolve_func=False)
    if "group" in config:
        return [leaf for part in config["task"] for leaf in leaves(part)]
    return [config]

json.dump({name: leaves(name) if name in known else [] for name in sys.argv[2:]}, sys.stdout, default=str)
"""

MATRIX = reading.load(DEFAULT_MATRIX)
TASKS = {task.id: task for suite in SUITES for task in MATRIX.suite_tasks(suite)}


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    """Return each task of each suite, once."""
    return TASKS[request.param]


@pytest.fixture(scope="session")
def installed() -> dict[str, list[Config]]:
    """Return the configurations of each lm-eval task or group that a suite names."""
    names = sorted({task.lm_eval for task in TASKS.values()})
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, " ".join(FOLDERS), *names],
        env=child_environment("cpu"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, list[Config]] = json.loads(ran.stdout)
    return found


@pytest.fixture(scope="session")
def hub(installed: dict[str, list[Config]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for HF_HOME whose caches hold made-up rows of every data set, and a metric of our own."""
    home = tmp_path_factory.mktemp("hub")
    essays: Config = {"dataset_path": "baber/paul_graham_essays"}  # RULER's loader names them, not its configuration
    read = [config for configs in installed.values() for config in configs if config["dataset_path"]]
    for config in [essays, *read]:
        keep(home / "datasets", config, commit="c0ffee")
    keep_metric(home / "modules")
    keep_sentences(home / "nltk")
    return home


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the files that stand for what the suites' tasks read of the web, by URL."""
    folder = tmp_path_factory.mktemp("web")
    urls = {name for task in TASKS.values() for name in task.resources if name.startswith("https:")}
    files = {url: folder / url.rpartition("/")[2] for url in urls}
    for url, file in files.items():
        file.write_text(json.dumps(web(url)))
    return {url: str(file) for url, file in files.items()}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the smallest reference model with a context that few-shot prompts fit into."""
    folder = tmp_path_factory.mktemp("model") / "ref-4m"
    shutil.copytree(ROOT / "fixtures" / "data" / "models" / "ref-4m", folder)
    config = json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 8192}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small Llama that knows nothing, with a BOS token and a context of 8,192 tokens."""
    return tiny.make(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def offline(hub: Path) -> dict[str, str]:
    """Return the environment of a child that fetches nothing, finds the made-up data and may run a model's code."""
    given = {"HF_HOME": str(hub), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "HF_ALLOW_CODE_EVAL": "1"}
    environment = child_environment("cpu") | given | {"NLTK_DATA": str(hub / "nltk")}
    environment.pop("HF_DATASETS_CACHE", None)
    environment.pop("HF_MODULES_CACHE", None)
    return environment


@pytest.fixture(scope="session")
def started() -> Iterator[list[StageProcess]]:
    """Return processes that were started; the last one may live."""
    processes: list[StageProcess] = []
    yield processes
    for process in processes:
        process.close()


@pytest.fixture
def stage(
    started: list[StageProcess], offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> StageProcess:
    """Return the evaluate stage over made-up data sets; a test that fails costs its process."""
    if not (started and started[-1].alive):
        started.append(StageProcess("evaluate", offline, tmp_path_factory.mktemp("log") / "evaluate.log"))
    return started[-1]
