"""The scheduler class over vLLM's real scheduler, without a model: only what is admitted, and when, is real.

A step's output is made up by hand, one token for each request that ran.
"""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)

from agentvm_compiler.wire import Hints
from agentvm_serving.slo import to_extra_args
from agentvm_serving.vllm import LOG_VARIABLE, POLICY_VARIABLE, scheduler
from agentvm_serving.vllm.journal import unix_seconds
from agentvm_serving.vllm.queue import RankedQueue

BLOCK = 16
EPOCH = 1.7e9
"""Unix seconds; the tests' moments are seconds after it."""
TINY = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
    "vocab_size": 100,
    "max_position_embeddings": 256,
    "torch_dtype": "float32",
}


@pytest.fixture(scope="module")
def vllm_parts(tmp_path_factory):
    """A configuration for a model of which there is nothing but the configuration."""
    from agentvm_serving.vllm.environment import prepare_imports

    prepare_imports()
    import torch
    from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(TINY))

    def build(max_num_seqs: int, blocks: int, **options):
        model = ModelConfig(
            model=str(folder), tokenizer=str(folder), skip_tokenizer_init=True, dtype="float32", seed=0
        )
        cache = CacheConfig(block_size=BLOCK, gpu_memory_utilization=0.5, enable_prefix_caching=False)
        config = VllmConfig(
            model_config=model,
            cache_config=cache,
            device_config=DeviceConfig("cpu"),
            scheduler_config=SchedulerConfig(
                max_num_seqs=max_num_seqs,
                max_num_batched_tokens=256,
                max_model_len=256,
                is_encoder_decoder=False,
                **options,
            ),
        )
        # Platforms have their own idea of the block size.
        config.cache_config.block_size = BLOCK
        config.cache_config.num_gpu_blocks = blocks
        spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=64, dtype=torch.float32)
        kv = KVCacheConfig(
            num_blocks=blocks, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)]
        )
        return config, kv

    return build


class Engine:
    """Drives a scheduler as the engine does, with a worker that makes up a token for each request."""

    def __init__(self, config, kv, asynchronous: bool = False) -> None:
        from vllm.v1.structured_output import StructuredOutputManager

        config.scheduler_config.async_scheduling = asynchronous
        self.scheduler = scheduler.create(
            vllm_config=config,
            kv_cache_config=kv,
            structured_output_manager=StructuredOutputManager(config),
            block_size=BLOCK,
            log_stats=True,
        )
        self.admitted: list[str] = []

    def add(
        self,
        name: str,
        *,
        hints: Hints | None = None,
        prompt: int = 8,
        tokens: int = 2,
        arrival: float = 100.0,
    ):
        from vllm import SamplingParams
        from vllm.v1.request import Request

        params = SamplingParams(
            max_tokens=tokens, ignore_eos=True, extra_args=None if hints is None else to_extra_args(hints)
        )
        params.update_from_generation_config({}, 99)
        request = Request(
            request_id=name,
            prompt_token_ids=list(range(prompt)),
            sampling_params=params,
            pooling_params=None,
            arrival_time=EPOCH + arrival,
        )
        self.scheduler.add_request(request)

    def step(self) -> list[str]:
        from vllm.v1.outputs import ModelRunnerOutput

        output = self.scheduler.schedule()
        self.admitted += [new.req_id for new in output.scheduled_new_reqs]
        ran = list(output.num_scheduled_tokens)
        result = ModelRunnerOutput(
            req_ids=ran,
            req_id_to_index={name: index for index, name in enumerate(ran)},
            sampled_token_ids=[[1] for _ in ran],
            logprobs=None,
            prompt_logprobs_dict={},
            pooler_output=[],
        )
        self.scheduler.update_from_output(output, result)
        return ran

    def run(self) -> list[str]:
        """Run to the end; the order of admission."""
        while self.scheduler.has_unfinished_requests():
            self.step()
        return self.admitted


@pytest.fixture
def engine(vllm_parts):
    def make(max_num_seqs=1, blocks=100, asynchronous=False, **options):
        return Engine(*vllm_parts(max_num_seqs, blocks, **options), asynchronous)

    return make


def due(deadline: float, key: str = "") -> Hints:
    return Hints(key=key, slo="deadline", deadline=EPOCH + deadline)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_requests_are_admitted_by_deadline(engine, asynchronous):
    """Not by arrival; a request without a deadline takes its turn by its virtual one."""
    one = engine(asynchronous=asynchronous)
    one.add("late", hints=due(900.0))
    one.add("plain")  # due at 160
    one.add("soon", hints=due(120.0))
    one.add("later", hints=due(150.0))
    assert one.run() == ["soon", "later", "plain", "late"]


def test_a_tight_request_overtakes_those_waiting(engine):
    """It waits for the running one only."""
    one = engine()
    one.add("running", hints=due(900.0), tokens=5)
    one.step()
    one.add("loose", hints=due(800.0))
    one.add("tight", hints=due(101.0))
    assert one.run() == ["running", "tight", "loose"]


def test_plain_clients_see_arrival_order(engine):
    """Without hints the engine behaves as stock vLLM."""
    one = engine()
    for index in range(4):
        one.add(f"r{index}", arrival=100.0 + index)
    assert one.run() == ["r0", "r1", "r2", "r3"]


def test_the_last_due_is_the_victim_of_memory_pressure(engine):
    """When the KV cache is full, blocks are taken from whoever is due last, whenever it came."""
    both = engine(max_num_seqs=2, blocks=5)  # four usable blocks of 16: both prompts fit, not both answers
    both.add("loose", hints=due(900.0), prompt=30, tokens=20)
    both.step()
    both.add("tight", hints=due(200.0), prompt=30, tokens=20)
    both.step()
    assert [request.request_id for request in both.scheduler.running] == ["loose", "tight"]
    for _ in range(3):
        ran = both.step()
    assert ran == ["tight"]
    assert [request.request_id for request in both.scheduler.waiting] == ["loose"]
    both.run()
    assert both.scheduler.counts.finished == 2


def test_fcfs_policy_is_chosen_by_the_environment(engine, monkeypatch):
    """The same class serves any policy."""
    monkeypatch.setenv(POLICY_VARIABLE, "fcfs")
    one = engine()
    one.add("late", hints=due(900.0))
    one.add("soon", hints=due(120.0))
    assert one.run() == ["late", "soon"]


def test_malformed_hints_are_served_best_effort(engine, monkeypatch, caplog):
    """A broken client is served, after a warning that names its request."""
    one = engine()
    monkeypatch.setitem(globals(), "to_extra_args", lambda hints: {"agentvm": "{broken"})
    with caplog.at_level(logging.WARNING):
        one.add("broken", hints=Hints())
    assert one.run() == ["broken"]
    assert any("request broken: hints" in record.getMessage() for record in caplog.records)
    assert (one.scheduler.counts.added, one.scheduler.counts.with_hints) == (1, 0)


def test_events_tell_each_stage(engine, monkeypatch, tmp_path):
    """The log has a line for each stage of each request, with its key and deadline."""
    log = tmp_path / "events.jsonl"
    monkeypatch.setenv(LOG_VARIABLE, str(log))
    one = engine()
    one.add("a", hints=due(900.0, key="run/a"))
    one.add("b", hints=due(200.0, key="run/b"))
    one.run()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(event["event"], event["key"]) for event in events] == [
        ("added", "run/a"),
        ("added", "run/b"),
        ("first_scheduled", "run/b"),
        ("finished", "run/b"),
        ("first_scheduled", "run/a"),
        ("finished", "run/a"),
    ]
    last = events[-1]
    assert (last["deadline"], last["arrival"]) == (900.0, pytest.approx(100.0, abs=1e-6)) or last[
        "arrival"
    ] > 100
    assert (last["status"], last["output_tokens"]) == ("FINISHED_LENGTH_CAPPED", 2)


def test_aborted_requests_are_forgotten(engine):
    """A client that goes away leaves nothing behind, waiting or running."""
    from vllm.v1.request import RequestStatus

    one = engine()
    one.add("running")
    one.step()
    one.add("waiting")
    one.scheduler.finish_requests(["running", "waiting"], RequestStatus.FINISHED_ABORTED)
    assert (one.scheduler.counts.finished, one.scheduler._tracker.views) == (2, {})
    assert not one.scheduler.has_unfinished_requests()


def test_running_is_sorted_only_after_admissions(engine):
    """A step that admits nobody costs nothing more than stock."""
    both = engine(max_num_seqs=2)
    both.add("a", hints=due(900.0), tokens=6)
    both.add("b", hints=due(200.0), tokens=6)
    both.step()
    both.step()
    before = both.scheduler._rank
    both.scheduler._rank = lambda request: pytest.fail("ranked without need")
    both.step()
    both.scheduler._rank = before
    both.run()


def test_a_scheduler_of_unknown_shape_serves_in_stock_order(engine, monkeypatch, caplog):
    """What is missing is named, and requests are served all the same."""
    monkeypatch.setattr("agentvm_serving.vllm.compat.METHODS", ("schedule", "plan_ahead"))
    with caplog.at_level(logging.WARNING, logger="vllm.agentvm"):
        one = engine()
    one.scheduler.waiting = type(one.scheduler.waiting)()  # still vLLM's own
    assert not isinstance(one.scheduler.waiting, RankedQueue)
    one.add("late", hints=due(900.0))
    one.add("soon", hints=due(120.0))
    assert one.run() == ["late", "soon"]


def test_priority_scheduling_is_left_to_vllm(engine):
    """Two orders at once would be none."""
    one = engine(policy="priority")
    assert not isinstance(one.scheduler.waiting, RankedQueue)


def test_arrivals_are_unix_seconds_on_either_clock(monkeypatch):
    """vLLM stamps arrivals by the wall clock or by the monotonic one; both mean the same moment."""
    clock = SimpleNamespace(time=lambda: EPOCH, monotonic=lambda: 50)
    monkeypatch.setattr("agentvm_serving.vllm.journal.time", clock)
    assert [unix_seconds(EPOCH - 3), unix_seconds(47)] == [EPOCH - 3, EPOCH - 3]


def test_obstacles_are_named():
    """Each missing part by its name."""
    from agentvm_serving.vllm.compat import obstacles

    found = obstacles(SimpleNamespace(running=[], waiting=[], requests={}, policy="fcfs"))
    assert found[0] == "no attribute 'scheduler_config'"
    assert "no method 'schedule'" in found
