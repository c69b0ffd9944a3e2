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
from agentvm_serving.estimate.steps import Batch
from agentvm_serving.order.queue import RankedQueue
from agentvm_serving.policy import POLICIES
from agentvm_serving.policy.jit import Jit
from agentvm_serving.policy.views import WAITS
from agentvm_serving.slo import to_extra_args
from agentvm_serving.vllm import (
    HOPELESS_VARIABLE,
    LOG_VARIABLE,
    POLICY_VARIABLE,
    SWITCH_VARIABLE,
    scheduler,
)
from agentvm_serving.vllm.control import perform
from agentvm_serving.vllm.environment import vllm_version
from agentvm_serving.vllm.journal import unix_seconds
from agentvm_serving.vllm.levers import Lever

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
        self.outputs: list = []

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
        for group in self.scheduler.update_from_output(output, result).values():
            self.outputs += group.outputs
        return ran

    def run(self) -> list[str]:
        """Run to the end; the order of admission."""
        while self.scheduler.has_requests():
            self.step()
        return self.admitted


@pytest.fixture
def engine(vllm_parts, monkeypatch):
    """Makes engines; by deadline, whose order a test can foretell, where the test says no other."""
    monkeypatch.setenv(POLICY_VARIABLE, "edf")

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


@pytest.mark.parametrize("policy", ["fcfs", "edf", "jit"])
def test_who_has_no_objective_does_not_overtake_its_like(engine, monkeypatch, policy):
    """Though a plan keeps those outside that came before: the new one was not there."""
    monkeypatch.setenv(POLICY_VARIABLE, policy)
    from vllm.v1.request import RequestStatus

    one = engine()
    one.scheduler.clock = lambda: EPOCH + 100
    one.add("running", tokens=100, hints=due(1_000_000.0))
    one.step()
    one.add("early", arrival=101.0)
    for _ in range(25):  # there is a plan
        one.step()
    one.add("late", arrival=102.0)
    one.scheduler.finish_requests(["running"], RequestStatus.FINISHED_ABORTED)
    assert one.run() == ["running", "early", "late"]


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
    before = both.scheduler._desk.rank
    both.scheduler._desk.rank = lambda request: pytest.fail("ranked without need")
    both.step()
    both.scheduler._desk.rank = before
    both.run()


def said(caplog) -> list[str]:
    """What the plug-in warned of."""
    return [record.getMessage() for record in caplog.records if record.name == "vllm.agentvm"]


def test_a_scheduler_of_unknown_shape_serves_in_stock_order(engine, monkeypatch, caplog):
    """What is missing is named once, with what is lost, and requests are served all the same."""
    order = Lever("order", "requests are served in vLLM's own order", calls=(("plan_ahead", 0),))
    monkeypatch.setattr("agentvm_serving.vllm.levers.LEVERS", (order,))
    with caplog.at_level(logging.WARNING, logger="vllm.agentvm"):
        one = engine()
    [warning] = said(caplog)
    assert "requests are served in vLLM's own order (no method 'plan_ahead')" in warning
    assert vllm_version() in warning
    assert not isinstance(one.scheduler.waiting, RankedQueue)
    one.add("late", hints=due(900.0))
    one.add("soon", hints=due(120.0))
    assert one.run() == ["late", "soon"]


def test_every_lever_is_there(engine, caplog):
    """On the installed vLLM nothing is missing, and nothing is said."""
    with caplog.at_level(logging.WARNING, logger="vllm.agentvm"):
        one = engine()
    assert (one.scheduler._levers.missing, said(caplog)) == ({}, [])


def test_a_lever_is_there_only_if_vllm_reads_it(engine, monkeypatch):
    """A name that can be set but that `schedule` never looks at moves nothing."""
    monkeypatch.setattr("agentvm_serving.vllm.levers.LEVERS", (Lever("hold", "", read=("no_such_name",)),))
    assert engine().scheduler._levers.missing == {"hold": "`schedule` does not read 'no_such_name'"}


def test_a_failing_policy_does_not_take_the_engine_with_it(engine, monkeypatch, caplog):
    """It is a bug and is logged as one; requests are served in order of arrival."""

    class Broken:
        every = 1

        def plan(self, views, engine):
            raise ZeroDivisionError

    one = engine()
    one.scheduler._desk.policy = Broken()
    one.add("late", hints=due(900.0))
    one.add("soon", hints=due(120.0))
    assert one.run() == ["late", "soon"]
    assert "this is a bug" in caplog.text


def test_priority_scheduling_is_left_to_vllm(engine):
    """Two orders at once would be none."""
    one = engine(policy="priority")
    assert not isinstance(one.scheduler.waiting, RankedQueue)


def test_arrivals_are_unix_seconds_on_either_clock(monkeypatch):
    """vLLM stamps arrivals by the wall clock or by the monotonic one; both mean the same moment."""
    clock = SimpleNamespace(time=lambda: EPOCH, monotonic=lambda: 50)
    monkeypatch.setattr("agentvm_serving.vllm.journal.time", clock)
    assert [unix_seconds(EPOCH - 3), unix_seconds(47)] == [EPOCH - 3, EPOCH - 3]


def test_hints_of_a_waiting_request_change_its_place(engine):
    """Tightened it overtakes, loosened it is overtaken."""
    one = engine()
    one.add("running", hints=due(50.0), tokens=3)
    one.step()
    one.add("a", hints=due(200.0, key="a"))
    one.add("b", hints=due(300.0, key="b"))
    one.add("c", hints=due(400.0, key="c"))
    assert one.scheduler.update_hints({"deadline": EPOCH + 150}, key="c") == 1
    assert one.scheduler.update_hints({"deadline": EPOCH + 500}, key="a") == 1
    assert one.run() == ["running", "c", "b", "a"]


def test_hints_of_a_running_request_change_who_gives_way(engine):
    """Under memory pressure the one that is due last after the change gives way."""
    both = engine(max_num_seqs=2, blocks=5)
    both.add("a", hints=due(900.0, key="a"), prompt=30, tokens=20)
    both.add("b", hints=due(200.0, key="b"), prompt=30, tokens=20)
    both.step()
    both.scheduler.update_hints({"deadline": EPOCH + 100}, key="a")
    for _ in range(3):
        ran = both.step()
    assert ran == ["a"]


def test_a_run_is_changed_and_cancelled_as_a_whole(engine):
    """All its calls, and no others."""
    one = engine()
    for name, run in (("a", "r"), ("b", "r"), ("c", "s")):
        one.add(name, hints=Hints(run=run, key=f"{run}/{name}"))
    assert one.scheduler.update_hints({"siblings": 2}, run="r") == 2
    assert one.scheduler.cancel(run="r") == 2
    assert one.run() == ["c"]
    assert [each["status"] for each in one.scheduler.records("r/a")] == ["FINISHED_ABORTED"]


def test_a_change_may_overtake_its_request(engine):
    """Its prompt may still be read when the change comes; once it has ended a change is too late."""
    one = engine()
    assert one.scheduler.update_hints({"deadline": EPOCH + 120}, key="k") == 0
    one.add("running", hints=due(100.0, key="done"))
    one.add("other", hints=due(500.0))
    one.add("changed", hints=due(900.0, key="k"))
    assert one.run() == ["running", "changed", "other"]
    assert one.scheduler.update_hints({"deadline": EPOCH}, key="done") == 0
    one.add("again", hints=due(900.0, key="done"))
    assert one.scheduler._tracker.views["again"].deadline == EPOCH + 900


@pytest.mark.parametrize(
    "body, complaint",
    [
        ({"key": "a", "hints": {"dedline": 1}}, "hints have no field 'dedline'"),
        ({"key": "a", "hints": {"deadline": "soon"}}, "hints cannot be changed so: deadline"),
        ({"key": "a", "hints": {"deadline": float("nan")}}, "deadline: nan is out of range"),
        ({"key": "a"}, "say what to change"),
        ({"hints": {}}, "say which requests are meant"),
        ({"key": 7, "hints": {}}, "'key' is a string"),
        ([], "say which requests are meant"),
    ],
)
def test_wrong_changes_say_what_is_wrong(engine, body, complaint):
    """And change nothing."""
    one = engine()
    one.add("a", hints=due(200.0, key="a"))
    assert complaint in perform(one.scheduler, "hints", body)["error"]
    assert one.scheduler._tracker.views["a"].deadline == EPOCH + 200


def learn_pace(one, seconds: float = 0.1) -> None:
    """Let the scheduler know how fast the engine is."""
    for _ in range(30):
        one.scheduler._tracker.measured(Batch(prefill=1, decodes=1), seconds)
    one.scheduler.clock = lambda: EPOCH + 100.0


def test_a_request_that_cannot_be_in_time_is_served_best_effort(engine):
    """It takes its turn among those without an objective, and its record says why."""
    one = engine()
    learn_pace(one)
    one.add("hopeless", hints=due(100.01, key="hopeless"))
    one.add("soon", hints=due(120.0))
    assert one.run() == ["soon", "hopeless"]
    [record] = one.scheduler.records("hopeless")
    assert record["why"].startswith("it has 0.01 s, its prompt takes 0.")
    assert (record["deadline"], record["output_tokens"]) == (EPOCH + 100.01, 2)


def test_a_request_that_cannot_be_in_time_is_rejected_if_asked(engine, monkeypatch):
    """At once: its client is told why, and it takes nobody's place."""
    monkeypatch.setenv(HOPELESS_VARIABLE, "reject")
    one = engine()
    learn_pace(one)
    one.add("hopeless", hints=due(100.01, key="hopeless"))
    one.add("soon", hints=due(120.0))
    assert one.run() == ["soon"]
    [end] = [each for each in one.outputs if each.request_id == "hopeless"]
    assert (str(end.finish_reason), end.new_token_ids) == ("abort", [])
    assert end.stop_reason.startswith("agentvm: it cannot be in time: it has 0.01 s")


def test_what_becomes_hopeless_in_the_queue_is_rejected_too(engine, monkeypatch):
    """It waits no longer than it can hope."""
    monkeypatch.setenv(HOPELESS_VARIABLE, "reject")
    one = engine()
    learn_pace(one)
    one.add("running", hints=due(101.0), tokens=40)
    one.step()
    one.add("waiting", hints=due(120.0))
    one.scheduler.clock = lambda: EPOCH + 119.99
    while len(one.outputs) < 30:
        one.step()
    assert [each.request_id for each in one.outputs if str(each.finish_reason) == "abort"] == ["waiting"]


def test_a_policy_may_leave_a_slot_empty(engine):
    """Who must not start yet does not, though there be a slot; but not when nobody else runs."""

    class OneByOne:
        every = 1

        def plan(self, views, engine):
            for view in views:
                view.rank = (0 if view.ordinal == 0 else WAITS, 0.0, view.ordinal)

    both = engine(max_num_seqs=4)
    both.scheduler._desk.policy = OneByOne()
    for name in ("a", "b", "c"):
        both.add(name, tokens=3)
    assert [both.step() for _ in range(4)] == [["a"], ["a"], ["a"], ["b"]]
    both.run()
    assert both.admitted == ["a", "b", "c"]


def test_running_requests_give_way_where_the_policy_has_it(engine):
    """One that cannot be in time any more leaves its slot to one that can, and is served later."""
    one = engine()
    learn_pace(one)
    one.scheduler._desk.policy = Jit(exchanges=True)
    one.add("lost", hints=due(101.0, key="lost"), tokens=200)
    one.step()
    one.scheduler.clock = lambda: EPOCH + 105.0
    one.add("soon", hints=due(140.0), tokens=2, arrival=105.0)
    while "soon" not in one.admitted:
        one.step()
    one.run()
    [record] = one.scheduler.records("lost")
    assert (record["preemptions"], record["output_tokens"]) == (1, 200)
    assert len(one.scheduler.records("lost")) == 1


def test_room_is_counted_in_blocks(engine):
    """99 of a hundred, since vLLM keeps one for itself."""
    levers = engine(blocks=100).scheduler._levers
    assert [levers.fits(tokens) for tokens in (-5, 99 * BLOCK, 99 * BLOCK + 1)] == [True, True, False]


def test_a_change_may_save_a_hopeless_request(engine):
    """With more time it is served by its deadline again."""
    one = engine()
    learn_pace(one)
    one.add("hopeless", hints=due(100.01, key="k"))
    one.scheduler.update_hints({"deadline": EPOCH + 130}, key="k")
    one.add("later", hints=due(140.0))
    assert one.run() == ["hopeless", "later"]


def test_nobody_is_judged_before_the_pace_is_known(engine):
    """What an engine can do is learnt, not assumed."""
    one = engine()
    one.scheduler.clock = lambda: EPOCH + 100.0
    one.add("tight", hints=due(100.001, key="tight"))
    assert one.scheduler.records("tight")[0]["why"] == ""


def test_records_tell_what_became_of_a_request(engine):
    """From its arrival to its end."""
    one = engine(max_num_seqs=2, blocks=5)
    one.scheduler.clock = lambda: EPOCH + 101.0
    one.add("loose", hints=due(900.0, key="loose"), prompt=30, tokens=20)
    one.step()
    one.add("tight", hints=due(200.0, key="tight"), prompt=30, tokens=20)
    one.run()
    [record] = one.scheduler.records("loose")
    assert (record["preemptions"], record["status"]) == (1, "FINISHED_LENGTH_CAPPED")
    assert (record["first_scheduled_at"], record["finished_at"]) == (EPOCH + 101, EPOCH + 101)
    assert (record["output_tokens"], record["good_tokens"], record["in_time"]) == (20, 20, True)
    assert (record["preempted_at"], record["held_seconds"], record["outcome"]) == ([EPOCH + 101], 0.0, "met")


def test_records_tell_how_long_a_request_was_held_back(engine):
    """Waiting for a slot is not it; waiting though there is one is."""

    class OneByOne:
        every = 1

        def plan(self, views, engine):
            for view in views:
                view.rank = (0 if view.ordinal == 0 else WAITS, 0.0, view.ordinal)

    one = engine(max_num_seqs=4)
    one.scheduler._desk.policy = OneByOne()
    one.add("a", tokens=3, hints=due(900.0, key="a"))
    one.add("b", tokens=3, hints=due(900.0, key="b"))
    for moment in range(101, 106):
        one.scheduler.clock = lambda now=EPOCH + moment: now
        one.step()
    held = [each["held_seconds"] for each in one.scheduler.records("a", "b")]
    assert held == [0.0, 3.0]
    full = engine(max_num_seqs=1)
    full.add("a", tokens=3, hints=due(900.0, key="a"))
    full.add("b", tokens=3, hints=due(901.0, key="b"))
    full.run()
    assert full.scheduler.records("b")[0]["held_seconds"] == 0.0


def test_many_requests_can_be_changed_between_two_steps(engine):
    """Found by key without looking at the others; one that has ended keeps no change."""
    one = engine()
    for number in range(20):
        one.add(f"n{number}", hints=due(900.0 + number, key=f"k{number}"), tokens=2)
    changes = [{"key": f"k{number}", "hints": {"deadline": EPOCH + 500 - number}} for number in range(20)]
    assert perform(one.scheduler, "hints", {"changes": changes}) == {"updated": 20}
    assert one.run() == [f"n{number}" for number in reversed(range(20))]
    assert perform(one.scheduler, "hints", {"changes": changes}) == {"updated": 0}
    assert len(one.scheduler.records(*(f"k{number}" for number in range(20)))) == 20
    one.add("again", hints=due(900.0, key="k1"))
    assert one.scheduler.records("k1")[-1]["deadline"] == EPOCH + 900


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_what_is_long_overdue_is_served_in_the_end(engine, monkeypatch, policy):
    """Though for ever others come that suit the policy better."""
    monkeypatch.setenv(POLICY_VARIABLE, policy)
    one = engine()
    now = 100.0
    one.scheduler.clock = lambda: EPOCH + now
    one.add("running", tokens=2, hints=Hints(run="old"))
    one.add("old", tokens=200, hints=due(100.5))
    for number in range(400):
        one.add(f"n{number}", hints=due(now + 9.0), tokens=2, arrival=now)
        one.step()
        now += 1.0
        if "old" in one.admitted:
            break
    assert "old" in one.admitted


def test_the_policy_of_an_idle_engine_may_be_changed_if_that_was_asked_for(engine, monkeypatch):
    """It begins as if it had just started; with requests there, or without the word, it keeps its policy."""
    assert "keeps its policy" in perform(engine().scheduler, "policy", {"policy": "fcfs"})["error"]
    monkeypatch.setenv(SWITCH_VARIABLE, "1")
    one = engine()
    learn_pace(one)
    one.add("late", hints=due(900.0))
    assert "has 1 requests" in perform(one.scheduler, "policy", {"policy": "fcfs"})["error"]
    one.run()
    assert "say which policy" in perform(one.scheduler, "policy", {})["error"]
    assert "'gold'" in perform(one.scheduler, "policy", {"policy": "gold"})["error"]
    assert perform(one.scheduler, "policy", {"policy": "fcfs"}) == {"changed": 1}
    one.add("late again", hints=due(900.0))
    one.add("hopeless", hints=due(100.01, key="k"))  # which nobody can know yet
    one.add("soon", hints=due(120.0))
    assert one.run() == ["late", "late again", "hopeless", "soon"]
    assert one.scheduler.records("k")[0]["why"] == ""
    assert not one.scheduler._observer.records.open
