"""Which kernel vLLM's own choosers take for each capability on GPUs that are not here. A program: `kernels.py`.

Comes in: nothing. Goes out: as the last line on stdout a JSON object, SM -> capability -> kernel, or "no ..." with the
reason. vLLM's Python is asked with a platform that only has a compute capability; what its C++ decides is written in
`OPERATORS`. Not asked for is the KV cache: attention backends cannot be imported without their GPU packages.
"""

from __future__ import annotations

import inspect
import json
import sys
from itertools import product
from typing import TYPE_CHECKING, Any

from quant.stages.engines import name_the_cpu_build

if TYPE_CHECKING:
    from collections.abc import Callable

WEIGHTS_ALONE = ("AllSpark", "Marlin", "Machete", "Humming")  # kernels that leave activations in 16 bits
# From which compute capability on vLLM's C++ has an operator (csrc, scaled_mm_entry.cu and nvfp4_scaled_mm_entry.cu).
OPERATORS = {
    "cutlass_scaled_mm_supports_fp8": 89,
    "cutlass_scaled_mm_supports_block_fp8": 90,
    "cutlass_scaled_mm_supports_fp4": 100,
}
INT8_BELOW = 100  # scaled_mm_helper.hpp: "Int8 not supported on SM100"
GPUS = (80, 86, 89, 90, 100, 103, 120)
WITHOUT = " without FlashInfer"


def pretend(compute: int, *, flashinfer: bool) -> None:
    """Have every module of vLLM see a GPU of this compute capability; vLLM's CUDA wheel requires FlashInfer."""
    from vllm.platforms.interface import DeviceCapability, Platform, PlatformEnum

    class Gpu(Platform):  # type: ignore[misc]
        _enum = PlatformEnum.CUDA

        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> Any:
            del device_id
            return DeviceCapability(compute // 10, compute % 10)

    names: dict[str, Any] = {name: (lambda _c=0, least=least: compute >= least) for name, least in OPERATORS.items()}
    names |= {"CUTLASS_BLOCK_FP8_SUPPORTED": compute >= OPERATORS["cutlass_scaled_mm_supports_block_fp8"]}
    names |= {"has_flashinfer": lambda: flashinfer, "has_flashinfer_cutedsl": lambda: flashinfer}
    names |= {"current_platform": Gpu()}
    names |= {"cutlass_fp8_supported": lambda: compute >= OPERATORS["cutlass_scaled_mm_supports_fp8"]}
    for module in [one for name, one in sys.modules.items() if name.startswith("vllm.")]:
        for name in names.keys() & vars(module).keys():
            setattr(module, name, names[name])


def called(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call a function of vLLM with those of the `named` arguments that its version has (0.26 to 0.32 were asked)."""
    known = inspect.signature(function).parameters
    return function(*args, **{name: value for name, value in named.items() if name in known})


def choices() -> dict[str, Callable[[int], str]]:
    """Return, for each capability, the choice that vLLM's scheme makes, as compute capability -> kernel."""
    import torch
    from vllm.model_executor.kernels import linear
    from vllm.model_executor.layers.quantization.compressed_tensors import schemes
    from vllm.model_executor.layers.quantization.utils import quant_utils as keys
    from vllm.scalar_type import scalar_types

    def scaled(config: Any, kernels: Any, compute: int, quantization: str) -> str:
        choose = linear.choose_scaled_mm_linear_kernel
        return str(called(choose, config, kernels, compute, quantization=quantization).__name__)

    def fp8(weight: Any, activation: Any) -> Callable[[int], str]:
        config = {"input_dtype": torch.bfloat16, "out_dtype": torch.bfloat16, "weight_shape": (256, 256)}
        config |= {"weight_quant_key": weight, "activation_quant_key": activation}
        blocks = activation.scale.group_shape.is_per_group()
        kernels = linear._POSSIBLE_FP8_BLOCK_KERNELS if blocks else linear._POSSIBLE_FP8_KERNELS
        return lambda compute: (
            scaled(linear.FP8ScaledMMLinearLayerConfig(**config), kernels, compute, "fp8_w8a8")
            if compute >= schemes.CompressedTensorsW8A8Fp8.get_min_capability()
            else "Marlin, since W8A8 becomes W8A16"
        )

    def int8(compute: int) -> str:
        config = linear.Int8ScaledMMLinearLayerConfig(
            is_channelwise=True, is_static_input_scheme=False, input_symmetric=True
        )
        kernel = scaled(config, linear._POSSIBLE_INT8_KERNELS, compute, "int8_w8a8")
        return kernel if compute < INT8_BELOW else "no INT8 from SM100 on"

    def mixed(weight: Any, activation: Any, only: int = 0, group: int = 128) -> Callable[[int], str]:
        config = called(
            linear.MPLinearLayerConfig,
            full_weight_shape=(256, 256),
            partition_weight_shape=(256, 256),
            weight_type=weight,
            act_type=activation,
            group_size=group,
            zero_points=False,
            has_g_idx=False,
            out_type=torch.bfloat16,
        )
        return lambda compute: (
            f"no scheme but for SM{only}"
            if only and compute != only
            else str(linear.choose_mp_linear_kernel(config, compute).__name__)
        )

    def mxfp4(_compute: int) -> str:
        return type(called(linear.init_mxfp4_linear_kernel, activation_quant_key=keys.kMxfp4Dynamic)).__name__

    return {
        "w8a8-fp8": fp8(keys.kFp8StaticChannelSym, keys.kFp8DynamicTokenSym),
        "w8a8-fp8-static": fp8(keys.kFp8StaticTensorSym, keys.kFp8StaticTensorSym),
        "w8a8-fp8-block": fp8(keys.kFp8Static128BlockSym, keys.kFp8Dynamic128Sym),
        "w8a8-int8": int8,
        "w8a16": mixed(scalar_types.uint8b128, torch.bfloat16, group=-1),
        "w4a16": mixed(scalar_types.uint4b8, torch.bfloat16),
        "w4a8": mixed(scalar_types.int4, torch.bfloat16),
        "w4afp8": mixed(scalar_types.int4, torch.float8_e4m3fn, only=90),
        "nvfp4": lambda _compute: type(linear.init_nvfp4_linear_kernel()).__name__,
        "nvfp4a16": lambda _compute: type(linear.init_nvfp4_linear_kernel(use_a16=True)).__name__,
        "mxfp4": mxfp4,
        "mxfp4a16": mxfp4,
    }


def kernel(name: str, choose: Callable[[int], str], compute: int) -> str:
    """Return the kernel, or "no ..." if there is none or it computes another format than the name says."""
    try:
        found = choose(compute)
    except ValueError as error:
        return f"no kernel: {' '.join(str(error).split())[:300]}"
    alone = found.startswith(WEIGHTS_ALONE) or "W4A16" in found
    if alone != name.endswith("a16") and not found.startswith("no "):
        return f"no: {found} quantizes {'weights alone' if alone else 'activations too'}"
    return found


def main() -> None:
    """Ask for each row."""
    name_the_cpu_build()
    found = {}
    asked = choices()
    for compute, flashinfer in product(GPUS, (True, False)):
        pretend(compute, flashinfer=flashinfer)
        row = {name: kernel(name, choose, compute) for name, choose in asked.items()}
        found[f"sm{compute}{'' if flashinfer else WITHOUT}"] = row
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
