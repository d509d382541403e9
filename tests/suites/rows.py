"""Made-up rows in the schema of each data set that the suites read, and in the places where libraries keep them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

Config = dict[str, Any]
Row = dict[str, Any]
Rows = list[Row]


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
CODE = {"task_id": "made/#", "prompt": "def add#(a, b):\n", "canonical_solution": "    return a + b\n"}
CODE |= {"test": "def check(f):\n    assert f(1, 2) == 3", "entry_point": "add#"}
MBPP = {"task_id": 1, "text": "Add two numbers.", "prompt": "Add two numbers.", "code": "def add#(a, b): ..."}
MBPP |= {"test_list": ["assert add#(1, 1) == 2", "assert add#(1, 2) == 3", "assert add#(1, 3) == 4"]}
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


SAYINGS = ("The old boat sails home.", "A man bakes bread at noon.", "Birds sing over the sea.", "Stone walls last.")
ESSAY = {"text": " ".join(f"{SAYINGS[n % 4]} {SAYINGS[n * 7 % 3]}" for n in range(2000))}
MADE_UP["baber/paul_graham_essays"] = {"train": [ESSAY]}


def town(number: int) -> Row:
    """Return a page on one town with one question, as SQuAD has them; each page is another."""
    asked = {"question": f"How many ships has town {number}?", "is_impossible": False}
    asked |= {"answers": [{"text": str(number + 3)}]}
    return {"paragraphs": [{"context": f"Town {number} has {number + 3} ships. {SAYINGS[0]}", "qas": [asked]}]}


def heir(number: int) -> Row:
    """Return a question on two pages, as HotpotQA has them."""
    pages = [[f"House {number}-{page}", [f"The heir of house {number} is Ann. ", SAYINGS[page]]] for page in range(2)]
    return {"question": f"Who is the heir of house {number}?", "answer": "Ann", "context": pages}


def web(url: str) -> Any:
    """Return what a URL that RULER asks gives: it needs 500 questions."""
    return {"data": [town(n) for n in range(520)]} if "SQuAD" in url else [heir(n) for n in range(520)]


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


def keep_metric(modules: Path) -> None:
    """Put the metric of our own where `evaluate` keeps code_eval of the hub; its folder is named by a hash there."""
    folder = modules / "evaluate_modules" / "metrics" / "evaluate-metric--code_eval" / ("0" * 64)
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "code_eval.py", folder)


def keep_sentences(folder: Path) -> None:
    """Write the rules of a sentence splitter that knows one abbreviation, as nltk keeps them."""
    rules = folder / "tokenizers" / "punkt_tab" / "english"
    rules.mkdir(parents=True)
    for name, text in {
        "abbrev_types.txt": "dr\n",
        "collocations.tab": "",
        "ortho_context.tab": "the\t46\n",
        "sent_starters.txt": "the\n",
    }.items():
        (rules / name).write_text(text)
