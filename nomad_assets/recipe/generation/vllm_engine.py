"""Decoding with vLLM."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.generation.engine import Generation, Needs, Request


class VllmEngine:
    """vLLM with token ids in and out; on a CPU in bfloat16, eager, with a cache of 4 GiB unless set otherwise."""

    name, precision = "vllm", "bf16"

    def __init__(self, folder: Path, *, max_length: int, memory_share: float = 1.0):
        import torch

        self.on_cpu, self.max_length = not torch.cuda.is_available(), max_length
        if self.on_cpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
            # Where this is not set, vLLM takes one thread.
            os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
        # In one process: a worker of its own outlives a killed step and keeps the memory.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM

        self.config = _architecture(folder)
        # A prefill that is cut in parts takes back random numbers of its rows, which torch's CPU generators cannot.
        whole_prefills = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(max_length, 8192)}
        self.llm = LLM(
            **(whole_prefills if self.on_cpu else {}),
            model=str(folder),
            dtype="bfloat16",
            max_model_len=max_length,
            enforce_eager=self.on_cpu,
            gpu_memory_utilization=0.9 * memory_share,
            trust_remote_code=False,
            load_format="safetensors",  # `auto` falls back to pickled weights
            disable_log_stats=True,
        )

    @classmethod
    def open(cls, folder: Path, needs: Needs) -> "VllmEngine":
        return cls(folder, max_length=needs.max_length, memory_share=needs.memory_share)

    def take_weights(self, folder: Path, max_length: int) -> bool:
        """Exchange the weights for those of another model of the same shape; False where it is another shape."""
        if max_length > self.max_length or _architecture(folder) != self.config:
            return False
        self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        return self.llm.reset_prefix_cache()  # what it holds was computed by the weights before

    def generate(
        self,
        requests: list[Request],
        sampling: Sampling,
        stop_ids: set[int],
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generation]:
        from vllm import SamplingParams, TokensPrompt

        parameters = [
            SamplingParams(
                temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_new_tokens,
                seed=request.seed, stop_token_ids=sorted(stop_ids), ignore_eos=True, detokenize=False,
            )
            for request in requests
        ]  # fmt: skip
        prompts = [TokensPrompt(prompt_token_ids=request.context) for request in requests]
        outputs = self.llm.generate(prompts, parameters, use_tqdm=False)
        on_progress(len(requests))
        results = []
        for output in outputs:
            completion = output.outputs[0]
            ids = list(completion.token_ids)
            stopped = completion.finish_reason == "stop"
            results.append(Generation(ids[:-1] if stopped and ids and ids[-1] in stop_ids else ids, stopped))
        return results

    def close(self) -> None:
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm


def _architecture(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


ENGINE = VllmEngine
