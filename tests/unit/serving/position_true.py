"""A worker that computes what a model would: each token depends on all KV before it, read where it lies.

It keeps its memory by block, as a GPU does, and finds a request's KV by the
blocks the scheduler named. A block that is given to two requests, freed too
early or lost therefore changes the tokens.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

BLOCK = 16
EPOCH = 1.7e9
"""Unix seconds at which the tests' time begins."""
STEP = 0.05
"""Seconds of a step."""
VOCABULARY = 90
SPACE = 2**61 - 1
TINY = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
    "vocab_size": 100,
    "max_position_embeddings": 512,
    "torch_dtype": "float32",
}


def kv_of(before: int, position: int, token: int) -> int:
    """What a token leaves in the cache, given the sum of all before it."""
    return hash((before, position, token)) % SPACE


def answer(prompt: Sequence[int], length: int) -> list[int]:
    """The tokens an undisturbed request gives."""
    tokens, total = list(prompt), 0
    for position in range(len(prompt) + length - 1):
        total = (total + kv_of(total, position, tokens[position])) % SPACE
        if position >= len(prompt) - 1:
            tokens.append(total % VOCABULARY)
    return tokens[len(prompt) :]


class Worker:
    """Executes what a scheduler plans."""

    def __init__(self) -> None:
        self._memory: dict[tuple[int, int], int] = {}
        self._tokens: dict[str, list[int]] = {}
        self._blocks: dict[str, list[int]] = {}

    def execute(self, output: Any) -> Any:
        """One step; its result as the model runner gives it."""
        from vllm.v1.outputs import ModelRunnerOutput

        for name in output.finished_req_ids:
            self._tokens.pop(name, None)
            self._blocks.pop(name, None)
        computed = self._take(output)
        names = list(output.num_scheduled_tokens)
        sampled = [self._run(name, computed[name], output.num_scheduled_tokens[name]) for name in names]
        return ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: index for index, name in enumerate(names)},
            sampled_token_ids=sampled,
            logprobs=None,
            prompt_logprobs_dict={},
            pooler_output=[],
        )

    def _take(self, output: Any) -> dict[str, int]:
        """Learn of new requests and blocks; how much of each request is computed."""
        computed = {}
        for new in output.scheduled_new_reqs:
            self._tokens[new.req_id] = list(new.prefill_token_ids or new.prompt_token_ids)
            self._blocks[new.req_id] = list(new.block_ids[0])
            computed[new.req_id] = new.num_computed_tokens
        cached = output.scheduled_cached_reqs
        for name, blocks, done in zip(
            cached.req_ids, cached.new_block_ids, cached.num_computed_tokens, strict=True
        ):
            computed[name] = done
            if name in cached.resumed_req_ids:
                self._tokens[name] = list(cached.all_token_ids[name])
                self._blocks[name] = []
            self._blocks[name] += blocks[0] if blocks else []
        return computed

    def _run(self, name: str, computed: int, count: int) -> list[int]:
        tokens, blocks = self._tokens[name], self._blocks[name]
        where = [(blocks[at // BLOCK], at % BLOCK) for at in range(computed + count)]
        total = sum(self._memory[each] for each in where[:computed]) % SPACE
        for position in range(computed, computed + count):
            made = self._memory[where[position]] = kv_of(total, position, tokens[position])
            total = (total + made) % SPACE
        if computed + count < len(tokens):
            return []  # more of the prompt is to come
        tokens.append(total % VOCABULARY)
        return [tokens[-1]]


@cache
def vllm_parts(folder: Path) -> Callable[..., tuple[Any, Any]]:
    """What makes a configuration for a model of which there is nothing but the configuration."""
    from agentvm_serving.vllm.environment import prepare_imports

    prepare_imports()
    import torch
    from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec

    (folder / "config.json").write_text(json.dumps(TINY))
    model = ModelConfig(
        model=str(folder), tokenizer=str(folder), skip_tokenizer_init=True, dtype="float32", seed=0
    )

    config = VllmConfig(
        model_config=model,
        cache_config=CacheConfig(block_size=BLOCK, gpu_memory_utilization=0.5, enable_prefix_caching=False),
        device_config=DeviceConfig("cpu"),
        scheduler_config=SchedulerConfig(
            max_num_seqs=4, max_num_batched_tokens=512, max_model_len=512, is_encoder_decoder=False
        ),
    )
    config.cache_config.block_size = BLOCK  # platforms have their own idea of it

    def build(slots: int, blocks: int, budget: int, caching: bool, asynchronous: bool) -> tuple[Any, Any]:
        # Making a configuration takes a hundred times as long as a scheduler, which reads it once.
        config.cache_config.num_gpu_blocks = blocks
        config.cache_config.enable_prefix_caching = caching
        config.scheduler_config.max_num_seqs = slots
        config.scheduler_config.max_num_batched_tokens = budget
        config.scheduler_config.async_scheduling = asynchronous
        spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=64, dtype=torch.float32)
        kv = KVCacheConfig(
            num_blocks=blocks, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)]
        )
        return config, kv

    return build


class Engine:
    """An engine's loop around a scheduler, which it checks at every step.

    Args:
        make: makes the scheduler: what `--scheduler-cls` names.
    """

    def __init__(
        self,
        folder: Path,
        make: Callable[..., Any],
        *,
        slots: int = 4,
        blocks: int = 100,
        budget: int = 64,
        caching: bool = False,
        asynchronous: bool = False,
    ) -> None:
        from vllm.utils.hashing import sha256
        from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
        from vllm.v1.structured_output import StructuredOutputManager

        config, kv = vllm_parts(folder)(slots, blocks, budget, caching, asynchronous)
        init_none_hash(sha256)
        self._hasher = get_request_block_hasher(BLOCK, sha256) if caching else None
        self.scheduler = make(
            vllm_config=config,
            kv_cache_config=kv,
            structured_output_manager=StructuredOutputManager(config),
            block_size=BLOCK,
            log_stats=False,
        )
        self.scheduler.clock = lambda: EPOCH + self.steps * STEP
        self.steps = 0
        self.given: dict[str, list[int]] = {}
        """Tokens of each request so far."""
        self.reasons: dict[str, str] = {}
        """How each request ended: `length`, `abort` ..."""
        self.told: dict[str, Any] = {}
        """The stop reason that came with it."""
        self._slots, self._budget, self._depth = slots, budget, 2 if asynchronous else 1
        self._open: dict[str, Any] = {}
        self._worker = Worker()
        self._flying: deque[tuple[Any, Any]] = deque()

    def add(self, name: str, prompt: Sequence[int], length: int, extra: dict[str, Any] | None = None) -> None:
        """Send a request."""
        from vllm import SamplingParams
        from vllm.v1.request import Request

        params = SamplingParams(max_tokens=length, ignore_eos=True, extra_args=extra)
        params.update_from_generation_config({}, 99)
        request = self._open[name] = Request(
            request_id=name,
            prompt_token_ids=list(prompt),
            sampling_params=params,
            pooling_params=None,
            arrival_time=self.scheduler.clock(),
            block_hasher=self._hasher,
        )
        self.given[name] = []
        self.scheduler.add_request(request)

    def abort(self, name: str) -> None:
        """A client goes away."""
        from vllm.v1.request import RequestStatus

        self.scheduler.finish_requests([name], RequestStatus.FINISHED_ABORTED)
        if self._open.pop(name, None) is not None:
            self.reasons[name] = "gone"

    @property
    def busy(self) -> bool:
        """Whether there is something left to do."""
        return bool(self._open or self._flying)

    def step(self) -> list[str]:
        """Plan and execute a step, and take the outcome of the oldest one under way; what was planned."""
        output = self.scheduler.schedule()
        self.steps += 1
        self._check(output)
        self._flying.append((output, self._worker.execute(output)))
        ran = list(output.num_scheduled_tokens)
        while len(self._flying) >= self._depth or (self._flying and not ran):
            self._deliver(self.scheduler.update_from_output(*self._flying.popleft()))
        return ran

    def run(self, limit: int) -> None:
        """Serve all to their end in so many steps at most."""
        last = self.steps + limit
        while self.busy:
            assert self.steps < last, f"after {limit} steps {sorted(self._open)} are not served"
            self.step()

    def _deliver(self, outputs: dict[int, Any]) -> None:
        for each in [each for group in outputs.values() for each in group.outputs]:
            if self.reasons.get(each.request_id) == "gone":
                continue  # vLLM's front end drops what nobody waits for
            self.given[each.request_id] += each.new_token_ids
            if each.finish_reason is not None:
                assert each.request_id not in self.reasons, f"{each.request_id} ended twice"
                self.reasons[each.request_id] = str(each.finish_reason)
                self.told[each.request_id] = each.stop_reason
                self._open.pop(each.request_id, None)

    def _check(self, output: Any) -> None:
        scheduler = self.scheduler
        assert output.total_num_scheduled_tokens <= self._budget
        assert len(scheduler.running) <= self._slots
        placed = Counter(each.request_id for each in [*scheduler.running, *waiting(scheduler)])
        assert set(placed) == set(scheduler.requests), "a request is lost"
        assert set(placed.values()) <= {1}, "a request is in two places"
        check_blocks(scheduler)


def waiting(scheduler: Any) -> list[Any]:
    """All that wait, in whichever queues the version has."""
    queues = ("waiting", "skipped_waiting", "kv_holding_waiting")
    return [each for name in queues for each in getattr(scheduler, name, ())]


def check_blocks(scheduler: Any) -> None:
    """Every block is held by as many requests as it says, and is free exactly if none holds it."""
    pool = scheduler.kv_cache_manager.block_pool
    held = Counter(
        block for name in scheduler.requests for block in scheduler.kv_cache_manager.get_block_ids(name)[0]
    )
    for block in pool.blocks:
        if not block.is_null:
            assert block.ref_cnt == held[block.block_id], f"block {block.block_id}"
    free = sum(not block.is_null and not block.ref_cnt for block in pool.blocks)
    assert pool.get_num_free_blocks() == free
