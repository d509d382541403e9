"""A recipe of llm-compressor is a format: family and needs follow from it, mistakes are named before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from quant import reading, recipe
from quant.environment import DEFAULT_MATRIX
from quant.errors import MatrixError

if TYPE_CHECKING:
    from pathlib import Path

TWO_STAGES = """\
first_stage:
  smooth_modifiers:
    SmoothQuantModifier: {smoothing_strength: 0.7}
  quant_modifiers:
    GPTQModifier: {targets: Linear, scheme: W8A8, ignore: [lm_head]}
second_stage:
  quant_modifiers:
    QuantizationModifier: {targets: ["re:.*o_proj"], scheme: INT8}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "my-recipe.yaml"
    made.write_text(TWO_STAGES)
    return made


def complaint(file: Path, old: str, new: str) -> str:
    file.write_text(TWO_STAGES.replace(old, new))
    with pytest.raises(MatrixError) as caught:
        reading.load(DEFAULT_MATRIX).pick("formats", str(file))
    return str(caught.value).replace(str(file), "FILE")


def test_all_stages_of_a_recipe_are_kept_in_order(file: Path) -> None:
    names = [name for name, _ in recipe.read(file)]
    assert names == ["SmoothQuantModifier", "GPTQModifier", "QuantizationModifier"]


def test_a_recipe_file_is_a_format_called_by_its_name(file: Path) -> None:
    made = reading.load(DEFAULT_MATRIX).pick("formats", str(file))
    assert (made.id, made.family, made.needs) == ("my-recipe", "int8", ("w8a8-int8",))


def test_a_recipe_file_is_a_column_of_a_run(file: Path) -> None:
    cells = list(reading.load(DEFAULT_MATRIX).cells("reference", formats=[str(file), "int8-rtn"]))
    assert {cell.format.id for cell in cells} == {"my-recipe", "int8-rtn"}


def test_an_unknown_modifier_is_answered_with_the_closest(file: Path) -> None:
    found = complaint(file, "GPTQModifier", "GPTQModifer")
    assert found.startswith("FILE: no modifier of llm-compressor is called 'GPTQModifer' (did you mean 'GPTQModifier'?")


def test_a_scheme_that_tells_no_family_is_named(file: Path) -> None:
    assert "the family does not follow from scheme 'W8A9' (did you mean 'W8A8'?)" in complaint(file, "W8A8", "W8A9")


def test_schemes_of_two_families_are_refused(file: Path) -> None:
    assert "the family does not follow from the recipe (int4, int8)" in complaint(file, "INT8", "W4A16")


def test_broken_yaml_is_named(file: Path) -> None:
    assert complaint(file, "0.7}", "0.7").startswith("FILE: not valid YAML")


def test_a_file_without_stages_is_refused(file: Path) -> None:
    assert complaint(file, TWO_STAGES, "modifiers: {}").startswith("FILE: no modifier found")


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match=r"nowhere\.yaml: the recipe cannot be read"):
        recipe.from_file(str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize("name", ["fp8-dynamic", "int4-awq", "fp4-nvfp4", "bf16"])
def test_any_format_takes_an_fp8_cache(name: str) -> None:
    declared = reading.load(DEFAULT_MATRIX)
    made = declared.pick("formats", f"{name}+fp8-kv")
    schemes = [arguments["kv_cache_scheme"] for _, arguments in made.recipe if "kv_cache_scheme" in arguments]
    assert (made.id, made.needs[-1], len(schemes)) == (f"{name}+fp8-kv", "kv-fp8", 1)


def test_a_cache_alone_is_held_against_the_gate_of_fp8() -> None:
    assert reading.load(DEFAULT_MATRIX).pick("formats", "bf16+fp8-kv").family == "fp8"


def test_a_cache_does_not_change_the_format_itself() -> None:
    declared = reading.load(DEFAULT_MATRIX)
    declared.pick("formats", "int8-rtn+fp8-kv")
    assert "kv_cache_scheme" not in declared.formats["int8-rtn"].recipe[0][1]


def test_a_table_leaves_heads_routers_and_towers_out_unless_it_says_what_to_ignore() -> None:
    said = (("GPTQModifier", {"scheme": "W8A8"}), ("QuantizationModifier", {"scheme": "W8A8", "ignore": ["lm_head"]}))
    found = [arguments["ignore"] for _, arguments in recipe.with_ignored(said)]
    assert found == [[*recipe.IGNORED], ["lm_head"]]


def test_a_modifier_that_gives_no_scheme_is_left_as_it_is() -> None:
    said = (("SmoothQuantModifier", {"smoothing_strength": 0.8}),)
    assert recipe.with_ignored(said) == said
