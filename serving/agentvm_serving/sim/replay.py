"""Virtual-time replay: vLLM's real scheduler and KV manager, without a model.

The scheduler, with our plug-in or stock, decides every step as it would in an
engine; a step model says how long the step took, and a worker that knows how
long each answer is makes its tokens up. Deterministic for a workload and a policy.
"""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agentvm_serving.estimate.steps import StepModel
from agentvm_serving.goodput import ServedCall, ServedRequest
from agentvm_serving.order.tracker import batch_of
from agentvm_serving.slo import LENGTH_KEY, to_extra_args
from agentvm_serving.workload import Call, Forecast, Item, Profile, hints_of, profile_of

BLOCK: Final = 16
"""Tokens of a KV block."""
END: Final = 999
"""The token that ends an answer: how long it is shows only then, as on a real engine."""
EPOCH: Final = 1.7e9
"""Unix seconds at which virtual time begins."""

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


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine to imitate."""

    step: StepModel
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 2048
    max_model_len: int = 4096
    kv_tokens: int = 60_000
    """Tokens the KV cache holds."""
    policy: str = "fcfs"
    """vLLM's own `scheduling_policy`: `fcfs` or `priority`."""
    overhead: float = 0.0
    """Seconds of each step besides the model's."""


@dataclass(slots=True)
class Replay:
    """What came of a workload."""

    requests: list[ServedRequest] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
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
) -> Replay:
    """Serve a workload to its end in virtual time.

    Args:
        make: the scheduler's class or factory (what `--scheduler-cls` names).
        profile: what the hints know of lengths; by default what the whole workload tells.
        forecast: what the hints tell of the stages to come.
    """
    return _Replay(items, engine, make, profile or profile_of(items), forecast).run()


class _Replay:
    def __init__(
        self,
        items: Sequence[Item],
        engine: Engine,
        make: Callable[..., Any],
        profile: Profile,
        forecast: Forecast,
    ) -> None:
        self.engine = engine
        self.profile = profile
        self.forecast: Forecast = forecast
        self.now = 0.0
        self.scheduler = make(**scheduler_arguments(engine))
        self.scheduler.clock = lambda: EPOCH + self.now
        self.result = Replay(items=list(items))
        self._coming: list[tuple[float, int, Item, int]] = []
        for number, item in enumerate(items):
            heapq.heappush(self._coming, (item.arrival, number, item, 0))
        self._pushed = len(items)
        self._times: dict[str, list[float]] = {}
        self._open: dict[str, tuple[Item, int]] = {}
        self._left: dict[tuple[str, int], int] = {}
        self._calls: dict[str, list[ServedCall]] = {}
        self._arrived: dict[str, tuple[float, Call]] = {}

    def run(self) -> Replay:
        idle = 0
        while self._coming or self._open:
            while self._coming and self._coming[0][0] <= self.now:
                _, _, item, stage = heapq.heappop(self._coming)
                self._arrive(item, stage)
            if not self._open:
                self.now = max(self.now, self._coming[0][0])
                continue
            idle = 0 if self._step() else idle + 1
            if idle > 1000:
                raise RuntimeError("the scheduler lets nothing run though requests wait")
        first = min((each.arrival for each in self.result.items), default=0.0)
        self.result.seconds = self.now - first
        self.result.requests = [self._served(item) for item in self.result.items]
        return self.result

    def _arrive(self, item: Item, stage: int) -> None:
        from vllm import SamplingParams
        from vllm.v1.request import Request

        self._left[item.id, stage] = len(item.stages[stage])
        for number, call in enumerate(item.stages[stage]):
            hints = hints_of(item, stage, self.profile, EPOCH, self.forecast, number)
            due = EPOCH + self.now + (item.ttft or 0.0) if hints.deadline is None else hints.deadline
            name = f"{item.id}/{stage}/{number}"
            room = self.engine.max_model_len - call.input_tokens
            params = SamplingParams(
                max_tokens=min(item.limit or room, room),
                extra_args={**to_extra_args(hints), LENGTH_KEY: call.output_tokens},
            )
            params.update_from_generation_config({}, END)
            request = Request(
                request_id=name,
                prompt_token_ids=[1] * call.input_tokens,
                sampling_params=params,
                pooling_params=None,
                arrival_time=EPOCH + self.now,
                priority=int((due - EPOCH) * 1000),
            )
            self._open[name] = item, stage
            self._arrived[name] = self.now, call
            self._times[name] = []
            self.scheduler.add_request(request)

    def _step(self) -> bool:
        import time

        from vllm.v1.outputs import ModelRunnerOutput

        started = time.perf_counter()
        output = self.scheduler.schedule()
        ran = output.num_scheduled_tokens
        requests = [self.scheduler.requests[name] for name in ran]
        batch = batch_of(self.scheduler.requests, ran)
        self.result.scheduling += time.perf_counter() - started
        self.now += (self.engine.step.seconds(batch) if ran else 0.001) + self.engine.overhead
        self.result.steps += bool(ran)
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
                self._finish(request.request_id)
        return bool(ran)

    def _sampled(self, request: Any) -> list[int]:
        last = request.num_output_tokens + 1 == self._arrived[request.request_id][1].output_tokens
        return [END if last else 7]

    def _finish(self, name: str) -> None:
        item, stage = self._open.pop(name)
        arrival, call = self._arrived.pop(name)
        made = ServedCall(arrival, call.input_tokens, self._times.pop(name))
        self._calls.setdefault(item.id, []).append(made)
        self._left[item.id, stage] -= 1
        if not self._left[item.id, stage] and stage + 1 < len(item.stages):
            self._pushed += 1
            heapq.heappush(
                self._coming, (self.now + item.gap_before(stage + 1), self._pushed, item, stage + 1)
            )

    def _served(self, item: Item) -> ServedRequest:
        deadline = None if item.within is None else item.arrival + item.within
        return ServedRequest(item.slo, self._calls[item.id], deadline, item.ttft, item.tbt)


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
                block_size=BLOCK, gpu_memory_utilization=0.5, enable_prefix_caching=False
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
