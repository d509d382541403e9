"""Serve each checkpoint of `schemes.py` and say what was computed. A program: `served.py FOLDER vllm|hf NAME...`.

Comes in: the folder that `schemes.py` filled. Goes out: a table on stderr, and on stdout one JSON object a scheme:
`computed` is what the nearest variant of `arithmetic.py` quantizes, or the error of the engine; `distances` are
root-mean-square differences of log-probabilities from each variant. With `WITHOUT_AVX512=1`, vLLM's CPU kernels are
those of a machine with AVX2 alone.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arithmetic
import schemes
import torch

from quant.stages import engines
from quant.stages.protocol import EvaluateRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quant.records import Backend


def dtype(scheme: str, backend: Backend) -> str:
    """Serve in bfloat16, but in float32 what Transformers can: it then rounds nothing of its own."""
    return "float32" if backend == "hf" and not scheme.startswith(("nvfp4", "mxfp4")) else "bfloat16"


def request(checkpoint: Path, backend: Backend) -> EvaluateRequest:
    """Ask for a checkpoint as the pipeline does."""
    engine: dict[str, Any] = {"max_logprobs": -1} if backend == "vllm" else {}
    if backend == "vllm" and torch.cuda.is_available():
        engine |= {"enforce_eager": True, "gpu_memory_utilization": 0.05, "kv_cache_memory_bytes": 2**28}
    return EvaluateRequest(
        label=checkpoint.name,
        checkpoint=str(checkpoint),
        output="",
        backend=backend,
        dtype=dtype(checkpoint.name, backend),
        context_tokens=128,
        engine=engine,
        tasks=(),
    )


def served(lm: Any, prompts: list[list[int]]) -> torch.Tensor:
    """Log-probabilities (prompts, tokens but the last, vocabulary) of the next token by lm-eval's model object."""
    if not hasattr(lm.model, "llm_engine"):
        with torch.no_grad():
            logits = lm.model(torch.tensor(prompts, device=lm.model.device)).logits
        return torch.log_softmax(logits.float(), -1)[:, :-1].cpu()
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=1, prompt_logprobs=-1, temperature=0)
    outputs = lm.model.generate([{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False)
    rows = [[[row[token].logprob for token in range(len(row))] for row in out.prompt_logprobs[1:]] for out in outputs]
    return torch.tensor(rows)


def attempt(checkpoint: Path, backend: Backend, prompts: list[list[int]]) -> torch.Tensor | str:
    """Serve one checkpoint; an engine's error is an answer, of whatever type."""
    asked = request(checkpoint, backend)
    try:
        lm = engines.start(asked)
        found = served(lm, prompts)
    except Exception as error:  # noqa: BLE001 - vLLM raises ValueError, NotImplementedError, AttributeError, RuntimeError
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:160]
    engines.stop(lm)
    return found


def clean_up(backend: Backend) -> None:
    """Collect a broken engine before the next one starts: it would tear down the groups that both share."""
    gc.collect()
    if backend == "vllm":
        from vllm.distributed import cleanup_dist_env_and_memory

        cleanup_dist_env_and_memory()


def answers(folder: Path, backend: Backend, names: list[str]) -> Iterator[dict[str, Any]]:
    """Serve the named schemes one after the other."""
    engines.prepare(request(folder, backend))
    prompts = schemes.prompts(folder / "base")
    for name in names:
        found = attempt(folder / name, backend, prompts)
        clean_up(backend)
        if isinstance(found, str):
            yield {"scheme": name, "computed": found, "distances": []}
            continue
        near = [
            (label, float((found - value[:, :-1]).pow(2).mean().sqrt()))
            for label, value in arithmetic.variants(folder / "base", folder / name, prompts, dtype(name, backend))
        ]
        yield {"scheme": name, "computed": min(near, key=lambda pair: pair[1])[0], "distances": near}


def main() -> None:
    """Print one answer a scheme as it comes."""
    folder, backend, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or list(schemes.SCHEMES)
    if os.environ.get("WITHOUT_AVX512"):
        torch.cpu._is_avx512_supported = lambda: False
    for answer in answers(folder, backend, names):  # type: ignore[arg-type]
        print(json.dumps(answer), flush=True)  # noqa: T201 - a program
        distances = ", ".join(f"{label} {distance:.4f}" for label, distance in answer["distances"])
        print(f"{answer['scheme']:16} {answer['computed']}  {distances}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
