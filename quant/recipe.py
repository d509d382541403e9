"""Recipes of llm-compressor: read from YAML, understood as far as a gate and a backend need it.

Comes in: TOML tables, YAML files. Goes out: modifiers in their order, and what follows from them: family, needs, an FP8
KV cache on top. Every mistake is a `MatrixError`. Must not import llmcompressor: a test holds the names against it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from msgspec.structs import replace

from quant.errors import MatrixError, closest
from quant.records import Calibration, Format, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quant.records import Family

FILES = (".yaml", ".yml")
CACHE = "+fp8-kv"
CACHE_NEEDS = "kv-fp8"
CACHE_SCHEME = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}

MODIFIERS = (
    "AWQModifier",
    "AutoRoundModifier",
    "ConstantPruningModifier",
    "GPTQModifier",
    "LogarithmicEqualizationModifier",
    "MagnitudePruningModifier",
    "QuIPModifier",
    "QuantizationModifier",
    "REAPPruningModifier",
    "SmoothQuantModifier",
    "SparseGPTModifier",
    "SpinQuantModifier",
    "WandaPruningModifier",
)
# What a table leaves in full precision unless it says otherwise: the head; routers, which choose experts; towers for
# images and sound, which calibration texts never reach (GPTQ then writes scales of 0).
IGNORED = ("lm_head", r"re:.*\.(gate|router|shared_expert_gate)$", r"re:.*(vision|visual|multi_modal|audio).*")
# Presets of compressed-tensors: the narrower of weights and activations decides the family, as in the papers.
SCHEMES: dict[str, tuple[Family, tuple[str, ...]]] = {
    "FP8": ("fp8", ("w8a8-fp8-static",)),
    "FP8_DYNAMIC": ("fp8", ("w8a8-fp8",)),
    "FP8_BLOCK": ("fp8", ("w8a8-fp8-block",)),
    "W8A8": ("int8", ("w8a8-int8",)),
    "INT8": ("int8", ("w8a8-int8",)),
    "W4A16": ("int4", ("w4a16",)),
    "W4A16_ASYM": ("int4", ("w4a16",)),
    "W4A8": ("int4", ("w4a8",)),
    "W4AFP8": ("int4", ("w4afp8",)),
    "NVFP4": ("fp4", ("nvfp4",)),
    "NVFP4A16": ("fp4", ("nvfp4a16",)),
    "MXFP4": ("fp4", ("mxfp4",)),
    "MXFP4A16": ("fp4", ("mxfp4a16",)),
}


def read(file: Path) -> Recipe:
    """Read a llm-compressor recipe: stages of modifier groups in YAML."""
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise MatrixError(f"{file}: the recipe cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise MatrixError(f"{file}: not valid YAML: {error}") from error
    found = tuple(_modifiers(said)) if isinstance(said, dict) else ()
    if not found:
        raise MatrixError(
            f"{file}: no modifier found; a recipe is written `x_stage: {{x_modifiers: {{GPTQModifier: ..."
        )
    return checked(found, str(file))


def checked(recipe: Recipe, where: str) -> Recipe:
    """Return a recipe all of whose modifiers llm-compressor has."""
    for name, arguments in recipe:
        if name not in MODIFIERS:
            guess = f"{closest(name, MODIFIERS)}; there are {', '.join(MODIFIERS)}"
            raise MatrixError(f"{where}: no modifier of llm-compressor is called {name!r}{guess}")
        if not isinstance(arguments, dict):
            raise MatrixError(f"{where}: {name}: expected a table of arguments, found {arguments!r}")
    return recipe


def with_ignored(recipe: Recipe) -> Recipe:
    """Return a recipe whose quantizing modifiers say what they ignore: `IGNORED`, if they did not."""
    return tuple((name, {"ignore": [*IGNORED]} | said if quantizes(said) else said) for name, said in recipe)


def quantizes(arguments: dict[str, Any]) -> bool:
    """Say whether a modifier with these arguments gives layers a scheme."""
    return bool({"scheme", "config_groups"} & {*arguments})


def from_file(path: str) -> Format:
    """Return the format that a recipe file of its own is; it may need calibration, so it is given the model's."""
    file = Path(path).resolve()
    modifiers = read(file)
    family, needs = family_and_needs(modifiers, str(file))
    return Format(
        id=file.stem,
        purpose=f"the recipe {file.name}",
        family=family,
        needs=needs,
        recipe=modifiers,
        calibration=Calibration(),
    )


def family_and_needs(recipe: Recipe, where: str) -> tuple[Family, tuple[str, ...]]:
    """Return what follows from the schemes that a recipe names; `MatrixError` if they do not say."""
    families: set[Family] = set()
    needs: list[str] = []
    for scheme in _schemes(recipe):
        if scheme not in SCHEMES:
            raise MatrixError(
                f"{where}: the family does not follow from scheme {scheme!r}{closest(scheme, SCHEMES)}; known are "
                f"{', '.join(SCHEMES)}; for another, declare the format in a matrix file with `family` and `needs`"
            )
        families.add(SCHEMES[scheme][0])
        needs += SCHEMES[scheme][1]
    if len(families) != 1:
        found = ", ".join(sorted(families)) or "no scheme"
        raise MatrixError(f"{where}: the family does not follow from the recipe ({found}); say it: `family`, `needs`")
    return families.pop(), tuple(dict.fromkeys(needs))


def with_cache(fmt: Format) -> Format:
    """Return the format with a KV cache in FP8 too, by calibrated scales; of the base, with that alone."""
    places = [number for number, (_, arguments) in enumerate(fmt.recipe) if quantizes(arguments)]
    if places:
        name, arguments = fmt.recipe[places[-1]]
        extended = [*fmt.recipe]
        extended[places[-1]] = (name, arguments | {"kv_cache_scheme": CACHE_SCHEME})
    else:
        extended = [*fmt.recipe, ("QuantizationModifier", {"kv_cache_scheme": CACHE_SCHEME})]
    return replace(
        fmt,
        id=f"{fmt.id}{CACHE}",
        purpose=f"{fmt.purpose}; with a KV cache of half the bytes: long contexts and many users",
        family="fp8" if fmt.family == "bf16" else fmt.family,
        recipe=tuple(extended),
        calibration=fmt.calibration or Calibration(),
        needs=(*fmt.needs, CACHE_NEEDS),
    )


def _modifiers(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for stage, groups in said.items():
        if str(stage).endswith("_stage") and isinstance(groups, dict):
            for group, modifiers in groups.items():
                if str(group).endswith("_modifiers") and isinstance(modifiers, dict):
                    yield from modifiers.items()


def _schemes(recipe: Recipe) -> Iterator[str]:
    for _, arguments in recipe:
        scheme = arguments.get("scheme")
        yield from [scheme] if isinstance(scheme, str) else (scheme or {})
        if arguments.get("config_groups"):
            yield "config_groups"
