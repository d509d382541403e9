"""What lies elsewhere is fetched once, whole or not at all, and then used like a file of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import save

from quant import reading
from quant.environment import DEFAULT_MATRIX
from quant.errors import UsageError
from quant.inputs import sources
from quant.inputs.run import Inputs
from quant.records import Calibration, Hardware, Model
from quant.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

MATRIX = reading.load(DEFAULT_MATRIX)
CPU = Hardware(kind="cpu-generic", name="any", devices=1, capabilities=frozenset())
MEMORY: Any = fsspec.filesystem("memory")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def url() -> str:
    """A model's folder on another file system."""
    MEMORY.pipe("/models/small/config.json", b"{}")
    MEMORY.pipe("/models/small/model.safetensors", save({"weight": np.ones((4, 4), np.float32)}))
    MEMORY.pipe("/models/small/extra/notes.json", b"{}")
    return "memory://models/small"


def complaint(url: str, store: Store) -> str:
    with pytest.raises(UsageError) as caught:
        sources.fetch(url, store, "model 'small'")
    return str(caught.value)


def rows(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_folder_is_fetched_with_what_is_in_it(store: Store, url: str) -> None:
    folder = sources.fetch(url, store, "model 'small'")
    names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.*"))
    assert names == ["config.json", "extra/notes.json", "model.safetensors"]


def test_it_is_fetched_once(store: Store, url: str) -> None:
    first = sources.fetch(url, store, "model 'small'")
    MEMORY.pipe("/models/small/config.json", b'{"changed": 1}')
    assert (sources.fetch(url, store, "x"), (first / "config.json").read_text()) == (first, "{}")


def test_a_fetch_that_fails_leaves_nothing(store: Store) -> None:
    complaint("memory://models/nowhere", store)
    assert (store.manifests(), list((store.root / "tmp").iterdir())) == ([], [])


def test_what_is_not_there_is_named(store: Store) -> None:
    said = complaint("memory://models/nowhere", store)
    assert "model 'small': memory://models/nowhere was not fetched (FileNotFoundError" in said


def test_a_missing_package_is_named(store: Store) -> None:
    assert "s3://bucket/model: a package is missing for this protocol: Install s3fs" in complaint(
        "s3://bucket/model", store
    )


def test_an_unknown_protocol_is_named(store: Store) -> None:
    assert "(ValueError: Protocol not known: floppy)" in complaint("floppy://a/model", store)


def test_a_machine_without_network_is_told(store: Store) -> None:
    assert "http://127.0.0.1:9/texts.jsonl was not fetched (" in complaint("http://127.0.0.1:9/texts.jsonl", store)


def test_a_model_elsewhere_is_a_base_as_any_other(store: Store, url: str) -> None:
    model = Model(id="small", source=url, context_tokens=512)
    made = Inputs(MATRIX, CPU, store=store).base(model)
    assert sorted(made.files) == ["config.json", "model.safetensors"]


def test_calibration_texts_may_lie_elsewhere(store: Store) -> None:
    MEMORY.pipe("/texts.jsonl", b'{"text": "a"}\n')
    model = replace(
        MATRIX.models["ref-0.6m"], calibration=Calibration(texts="memory://texts.jsonl", samples=1, tokens=8)
    )
    found = Inputs(MATRIX, CPU, store=store).calibration(model, MATRIX.formats["int8-w8a8"])
    assert found
    assert rows(Path(found.texts)) == [{"text": "a"}]


def data_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a hub's cache with one data set, and return the folder for its files."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    repository = folder / "datasets--some--texts"
    (repository / "snapshots" / COMMIT / "data").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT / "data"


def texts(store: Store) -> Path:
    return Path(sources.texts(Calibration(texts="hub:some/texts"), store, "any").texts)


def written(folder: Path, found: Sequence[dict[str, Any]], name: str) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.Table.from_pylist(found), folder / name)


def test_a_data_set_of_the_hub_becomes_texts(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data_set(tmp_path, monkeypatch)
    written(folder, [{"text": "a"}, {"text": "b"}], "train-00000-of-00001.parquet")
    written(folder, [{"text": "not this"}], "test-00000-of-00001.parquet")
    assert rows(texts(store)) == [{"text": "a"}, {"text": "b"}]


def test_a_conversation_is_its_turns(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Two."}]
    (data_set(tmp_path, monkeypatch) / "all.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    assert rows(texts(store)) == [{"text": "How many?\n\nTwo."}]


def test_a_data_set_without_texts_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data_set(tmp_path, monkeypatch) / "all.jsonl").write_text('{"image": 1}\n')
    with pytest.raises(UsageError, match=r"any: .* has no \*\.jsonl or \*\.parquet with `text` or `messages`"):
        texts(store)
