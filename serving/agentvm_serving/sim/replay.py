"""Virtual-time replay: vLLM's real scheduler and KV manager, without a model.

The scheduler, with our plug-in or stock, decides every step as it would in an
engine; a step model says how long the step took, and a worker that knows how
long each answer is makes its tokens up. Deterministic for a workload and a policy.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agentvm_serving.goodput import ServedRequest
from agentvm_serving.order.tracker import batch_of
from agentvm_serving.slo import LENGTH_KEY, to_extra_args
from agentvm_serving.workload import Forecast, Item, Profile
from agentvm_serving.workload.prefixes import text_of

from .clients import Asked, Clients
from .engine import BLOCK, EPOCH, Engine
from .replica import IDLE

__all__ = ["Engine", "Replay", "replay", "scheduler_arguments"]

END: Final = 999
"""The token that ends an answer: how long it is shows only then, as on a real engine."""

_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
    "vocab_size": 1000,
    "torch_dtype": "float32",
}


@dataclass(slots=True)
class Replay:
    """What came of a workload."""

    requests: list[ServedRequest] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    """Virtual time from the first arrival to the end."""
    preemptions: int = 0
    scheduling: float = 0.0
    """Real seconds spent in `schedule` and `update_from_output`."""


def replay(
    items: Sequence[Item],
    engine: Engine,
    make: Callable[..., Any],
    profile: Profile | None = None,
    forecast: Forecast = "profile",
    log: list[dict[str, int]] | None = None,
) -> Replay:
    """Serve a workload to its end in virtual time.

    Args:
        make: the scheduler's class or factory (what `--scheduler-cls` names).
        profile: what the hints know of lengths; by default what the whole workload tells.
        forecast: what the hints tell of the stages to come.
        log: gets the new tokens by request of each step.
    """
    return _Replay(items, engine, make, profile, forecast, log).run()


class _Replay:
    def __init__(
        self,
        items: Sequence[Item],
        engine: Engine,
        make: Callable[..., Any],
        profile: Profile | None,
        forecast: Forecast,
        log: list[dict[str, int]] | None,
    ) -> None:
        self.engine = engine
        self.clients = Clients(items, profile, forecast, engine.max_model_len)
        self.now = self.clients.first
        self.scheduler = make(**scheduler_arguments(engine))
        self.scheduler.clock = lambda: EPOCH + self.now
        self.log = log
        self.result = Replay()
        self._times: dict[str, list[float]] = {}
        self._open: dict[str, Asked] = {}
        self._text: dict[str, list[int]] = {}
        """Of prompt and answer."""
        self._hasher = _block_hasher() if engine.prefix_cache else None

    def run(self) -> Replay:
        idle = 0
        while self._open or self.clients.next_at < math.inf:
            if not self._open:
                self.now = max(self.now, self.clients.next_at)
            for asked in self.clients.asking(self.now):
                self._arrive(asked)
            idle = 0 if self._step() else idle + 1
            if idle > 1000:
                raise RuntimeError("the scheduler lets nothing run though requests wait")
        self.result.seconds = self.now - self.clients.first
        self.result.requests = self.clients.served()
        return self.result

    def _arrive(self, asked: Asked) -> None:
        from vllm import SamplingParams
        from vllm.v1.request import Request

        # Where prompts may share KV they have their texts, else any will do.
        call, name = asked.call, asked.name
        tokens = call.input_tokens + call.output_tokens
        shares = self.engine.prefix_cache
        self._text[name] = text_of(call, name, END - 1, tokens) if shares else [1] * tokens
        params = SamplingParams(
            max_tokens=asked.limit,
            extra_args={**to_extra_args(asked.hints), LENGTH_KEY: asked.call.output_tokens},
        )
        params.update_from_generation_config({}, END)
        request = Request(
            request_id=asked.name,
            prompt_token_ids=self._text[asked.name][: asked.call.input_tokens],
            sampling_params=params,
            pooling_params=None,
            arrival_time=EPOCH + asked.at,
            priority=int(asked.due * 1000),
            block_hasher=self._hasher,
        )
        self._open[asked.name] = asked
        self._times[asked.name] = []
        self.scheduler.add_request(request)

    def _step(self) -> bool:
        from vllm.v1.outputs import ModelRunnerOutput

        started = time.perf_counter()
        output = self.scheduler.schedule()
        ran = output.num_scheduled_tokens
        requests = [self.scheduler.requests[name] for name in ran]
        batch = batch_of(self.scheduler.requests, ran)
        self.result.scheduling += time.perf_counter() - started
        self.now += self.engine.seconds(batch) if ran else IDLE + self.engine.overhead
        self.result.steps += bool(ran)
        if self.log is not None and ran:
            self.log.append(dict(ran))
        # A prompt that is not through yet gives no token.
        sampled = [
            self._sampled(each) if each.num_computed_tokens >= each.num_tokens else [] for each in requests
        ]
        started = time.perf_counter()
        self.scheduler.update_from_output(
            output,
            ModelRunnerOutput(
                req_ids=list(ran),
                req_id_to_index={name: index for index, name in enumerate(ran)},
                sampled_token_ids=sampled,
                logprobs=None,
                prompt_logprobs_dict={},
                pooler_output=[],
            ),
        )
        self.result.scheduling += time.perf_counter() - started
        for request, tokens in zip(requests, sampled, strict=True):
            if tokens:
                self._times[request.request_id].append(self.now)
            if request.is_finished():
                self.result.preemptions += request.num_preemptions
                name = request.request_id
                self.clients.finished(self._open.pop(name), self._times.pop(name), self.now)
                del self._text[name]
        return bool(ran)

    def _sampled(self, request: Any) -> list[int]:
        text = self._text[request.request_id]
        last = request.num_tokens + 1 == len(text)
        return [END if last else text[request.num_tokens]]


def scheduler_arguments(engine: Engine) -> dict[str, Any]:
    """What vLLM would make its scheduler with, for a model that is nothing but a configuration."""
    from agentvm_serving.vllm.environment import prepare_imports

    prepare_imports()
    import torch
    from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.structured_output import StructuredOutputManager

    with _model_folder(engine.max_model_len) as folder:
        model = ModelConfig(model=folder, tokenizer=folder, skip_tokenizer_init=True, dtype="float32", seed=0)
        config = VllmConfig(
            model_config=model,
            cache_config=CacheConfig(
                block_size=BLOCK, gpu_memory_utilization=0.5, enable_prefix_caching=engine.prefix_cache
            ),
            device_config=DeviceConfig("cpu"),
            scheduler_config=SchedulerConfig(
                max_num_seqs=engine.max_num_seqs,
                max_num_batched_tokens=engine.max_num_batched_tokens,
                max_model_len=engine.max_model_len,
                is_encoder_decoder=False,
                policy=engine.policy,
                async_scheduling=False,
            ),
        )
    blocks = engine.kv_tokens // BLOCK
    config.cache_config.block_size = BLOCK  # platforms have their own idea of it
    config.cache_config.num_gpu_blocks = blocks
    config.scheduler_config.async_scheduling = False
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=64, dtype=torch.float32)
    kv = KVCacheConfig(
        num_blocks=blocks, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)]
    )
    return {
        "vllm_config": config,
        "kv_cache_config": kv,
        "structured_output_manager": StructuredOutputManager(config),
        "block_size": BLOCK,
        "log_stats": False,
    }


def _block_hasher() -> Any:
    """What vLLM knows a block's contents by."""
    from vllm.utils.hashing import sha256_cbor
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash

    init_none_hash(sha256_cbor)
    return get_request_block_hasher(BLOCK, sha256_cbor)


class _model_folder:
    """A folder with the configuration of a tiny model."""

    def __init__(self, max_model_len: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        config = {**_CONFIG, "max_position_embeddings": max_model_len}
        Path(self._folder.name, "config.json").write_text(json.dumps(config))

    def __enter__(self) -> str:
        return self._folder.name

    def __exit__(self, *raised: object) -> None:
        self._folder.cleanup()
