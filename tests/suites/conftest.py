"""What the installed lm-eval says of the declared tasks, and a cache with a few made-up rows of their data sets."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from quant import reading
from quant.environment import DEFAULT_MATRIX, ROOT, child_environment

if TYPE_CHECKING:
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

Config = dict[str, Any]

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


Rows = list[dict[str, Any]]


def numbered(count: int, row: dict[str, Any]) -> Rows:
    """Return a row several times, with its number in the place of every `#`; `~` stands for a real one."""
    text = json.dumps(row)
    return [json.loads(text.replace("#", str(number)).replace("~", "#")) for number in range(count)]


MCQ = {"question": "What is #?", "choices": ["water", "stone", "wood", "air"], "answer": 1, "subject": "made up"}
ARC: dict[str, Any] = {"id": "#", "question": "Which of # floats?", "answerKey": "C"}
ARC |= {"choices": {"text": ["water", "stone", "wood", "air"], "label": ["A", "B", "C", "D"]}}
NUMBERED = ARC | {"choices": ARC["choices"] | {"label": ["1", "2", "3", "4"]}, "answerKey": "3"}
SUM = {"question": "Tom has # pens and buys 2. How many?", "answer": "# + 2 = 9\n~~~~ 9"}
OVEN = {"ind": 1, "activity_label": "Baking", "source_id": "made up #", "split": "val", "split_type": "indomain"}
OVEN |= {"ctx_a": "A man # opens an oven.", "ctx_b": "he", "ctx": "A man # opens an oven. he", "label": "0"}
OVEN |= {"endings": ["takes a cake out.", "flies away. [title] Bye.", "is a cake.", "closes the sea."]}
WINO = {"sentence": "Ann # thanked Eve because _ helped.", "option1": "Ann", "option2": "Eve", "answer": "2"}
TRUTH = {"question": "Is # a fish?", "mc1_targets": {"choices": ["No.", "Yes.", "Never."], "labels": [1, 0, 0]}}
TRUTH |= {"mc2_targets": {"choices": ["No.", "Yes.", "Never."], "labels": [1, 0, 1]}}
FOLLOW = {"key": 1, "prompt": "Write about # ships."}
RULES = [
    {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"num_words": 5, "relation": "at least"}]},
    {"instruction_id_list": ["keywords:forbidden_words"], "kwargs": [{"forbidden_words": ["sea"]}]},
    {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
]
MATH = {"problem": "What is # + 1?", "level": "Level 5", "type": "Algebra", "solution": "It is $\\boxed{#1}$."}
GPQA = {"Question": "What is #?", "Correct Answer": "right #"}
GPQA |= {f"Incorrect Answer {n}": f"wrong {n}" for n in (1, 2, 3)}
STORY = {"narrative": "A story #.", "question": "Who did it?", "choices": "['Ann', 'Eve']"}
STORY |= {"answer_index": 1, "answer_choice": "Eve"}
PRO = {"question": "What is #?", "options": [f"option {letter}" for letter in "ABCDEFGHIJ"], "answer": "B"}
PRO |= {"question_id": 1, "answer_index": 1, "cot_content": "", "category": "law", "src": "made up"}
CODE = {"task_id": "made/#", "prompt": "def add(a, b):\n", "canonical_solution": "    return a + b\n"}
CODE |= {"test": "def check(f):\n    assert f(1, #) == 1 + #", "entry_point": "add"}
MBPP = {"task_id": 1, "text": "Add two numbers #.", "prompt": "Add two numbers #.", "code": "def add(a, b): ..."}
MBPP |= {"test_list": ["assert add(#, 1) == # + 1", "assert add(#, 2) == # + 2", "assert add(#, 3) == # + 3"]}
EXAMS = {"test": numbered(3, MCQ), "dev": numbered(5, MCQ | {"question": "An example #?"})}

# Rows by split, in the schema of each data set; ARC numbers its choices in two ways, and MATH has easier problems too.
MADE_UP: dict[str, dict[str, Rows]] = {
    "hails/mmlu_no_train": EXAMS,
    "cais/mmlu": EXAMS,
    "allenai/ai2_arc": {
        "train": numbered(26, ARC),
        "validation": numbered(2, ARC),
        "test": [*numbered(2, ARC), NUMBERED],
    },
    "openai/gsm8k": {"train": numbered(8, SUM), "test": numbered(3, SUM)},
    "Rowan/hellaswag": {"train": numbered(12, OVEN), "validation": numbered(3, OVEN)},
    "allenai/winogrande": {"train": numbered(7, WINO), "validation": numbered(3, WINO)},
    "truthfulqa/truthful_qa": {"validation": numbered(3, TRUTH)},
    "wis-k/instruction-following-eval": {"train": [a | b for a, b in zip(numbered(3, FOLLOW), RULES, strict=True)]},
    "DigitalLearningGmbH/MATH-lighteval": {
        "train": numbered(5, MATH),
        "test": [*numbered(2, MATH), MATH | {"level": "Level 1"}],
    },
    "Idavidrein/gpqa": {"train": numbered(3, GPQA)},
    "TAUR-Lab/MuSR": dict.fromkeys(("murder_mysteries", "object_placements", "team_allocation"), numbered(3, STORY)),
    "TIGER-Lab/MMLU-Pro": {"test": numbered(3, PRO), "validation": numbered(5, PRO)},
    "openai/openai_humaneval": {"test": numbered(2, CODE)},
    "evalplus/humanevalplus": {"test": numbered(2, CODE)},
    "google-research-datasets/mbpp": {"test": numbered(2, MBPP)},
    "evalplus/mbppplus": {"test": numbered(2, MBPP)},
}


def made_up(config: Config) -> dict[str, Rows]:
    """Return rows by split; those of BBH have one of the choices of the task that reads them."""
    if config["dataset_path"] != "SaylorTwift/bbh":
        return MADE_UP[config["dataset_path"]]
    choices = config["doc_to_choice"]
    target = choices[0] if isinstance(choices, list) else "(A)"
    return {"test": numbered(3, {"input": "Which of these # is it?", "target": target})}


def keep(cache: Path, config: Config, commit: str) -> None:
    """Write rows where the `datasets` library keeps what it fetched from the hub."""
    from datasets import Dataset, DatasetInfo, SplitDict, SplitInfo
    from datasets.arrow_writer import ArrowWriter
    from datasets.naming import camelcase_to_snakecase

    organisation, _, name = config["dataset_path"].partition("/")
    spelled, which = camelcase_to_snakecase(name), config.get("dataset_name") or "default"
    folder = cache / f"{organisation}___{spelled}" / which / "0.0.0" / commit
    if folder.exists():
        return
    folder.mkdir(parents=True)
    splits = SplitDict(dataset_name=spelled)
    for split, rows in made_up(config).items():
        data = Dataset.from_list(rows)
        with ArrowWriter(path=str(folder / f"{spelled}-{split}.arrow"), features=data.features) as writer:
            writer.write_table(data.data.table)
            writer.finalize()
        splits.add(SplitInfo(name=split, num_examples=len(rows), dataset_name=spelled))
    info = DatasetInfo(features=data.features, splits=splits, config_name=which, dataset_name=spelled, version="0.0.0")
    info.write_to_directory(str(folder))


@pytest.fixture(scope="session")
def hub(installed: dict[str, list[Config]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for HF_HOME whose cache holds made-up rows of every data set but RULER's."""
    home = tmp_path_factory.mktemp("hub")
    for config in [config for configs in installed.values() for config in configs if config["dataset_path"]]:
        keep(home / "datasets", config, commit="c0ffee")
    return home


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the smallest reference model with a context that few-shot prompts fit into."""
    folder = tmp_path_factory.mktemp("model") / "ref-4m"
    shutil.copytree(ROOT / "fixtures" / "data" / "models" / "ref-4m", folder)
    config = json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 8192}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
