"""What a vLLM worker says about itself: which kernel computes each linear layer, and how much memory it takes.

Comes in: a worker that vLLM has mixed `Inspector` into (`worker_extension_cls`), wherever it runs. Goes out: plain
numbers. A layer's method, its scheme or one of their attributes holds the kernel; where none does, the method itself
computes, as that of unquantized layers. Imports vLLM inside functions only: the worker has it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

EXTENSION = "quant.stages.kernels.Inspector"
DEPTH = 3  # layer.quant_method -> scheme -> kernel


class Inspector:
    """Methods that a vLLM worker gets; each is called on all devices by `collective_rpc`."""

    model_runner: Any

    def linear_kernels(self) -> dict[str, int]:
        """Count the linear layers by their kernel."""
        from vllm.model_executor.layers.linear import LinearBase

        layers = [layer for layer in self.model_runner.model.modules() if isinstance(layer, LinearBase)]
        return dict(Counter(_kernel(layer) for layer in layers))

    def memory(self) -> dict[str, int]:
        """Return bytes on this device: of weights, and of all but the KV cache at most; 0 on CPUs, which count none."""
        weights = int(getattr(self.model_runner, "model_memory_usage", 0) or 0)
        activations = int(getattr(self, "peak_activation_memory", 0) or 0)
        return {"memory_bytes": weights, "peak_bytes": weights + activations if activations else 0}


def together(told: list[dict[str, int]]) -> dict[str, Any]:
    """Add up what the devices of one engine say of their memory."""
    return {name: sum(one[name] for one in told) for name in told[0]}


def _kernel(layer: Any) -> str:
    method = layer.quant_method
    found = _inside(method, DEPTH) or _inside(getattr(layer, "scheme", None), DEPTH)
    return type(found or method).__name__


def _inside(holder: Any, depth: int) -> Any:
    """Return the first attribute that is a kernel, searched level by level."""
    if holder is None or depth == 0:
        return None
    values = [value for value in vars(holder).values() if type(value).__module__.startswith("vllm.")]
    kernels = [value for value in values if ".kernels." in type(value).__module__]
    return kernels[0] if kernels else next(filter(None, (_inside(value, depth - 1) for value in values)), None)
