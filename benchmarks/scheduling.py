"""Scheduling time: what a policy adds to a step of vLLM's own scheduler, without a model.

256 requests run and some wait; each step gives every running request a token.
Shown is the mean time of `schedule` and `update_from_output` together, in
microseconds, what each policy adds over stock, and of that what our own code
takes: its time less that of vLLM's methods it calls, which a busy machine blurs
less than a difference of two large numbers. Goal: at 64, 256, 2,000 and 10,000
waiting at most 300, 500, 1,000 and 3,000 us.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from typing import Any, NamedTuple

from agentvm_serving.policy import policy_named

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

RUNNING = 256
QUEUES = (64, 256, 2_000, 10_000)
GOALS = dict(zip(QUEUES, (300, 500, 1_000, 3_000), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", default="fcfs,edf,plas,jit", help="with commas between")
    parser.add_argument("--steps", type=int, default=200, help="steps measured at each size")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    try:
        from agentvm_serving.vllm.environment import prepare_imports

        prepare_imports()
        from vllm.v1.core.sched.scheduler import Scheduler
    except ImportError:
        sys.exit("vLLM is not installed: pip install 'agentvm[cpu]'")
    from agentvm_serving.vllm.scheduler import creator

    schedulers = {"stock": Scheduler} | {each: creator(each) for each in arguments.policies.split(",")}
    print(f"{'waiting':>8}  {'policy':<8}  {'us a step':>10}  {'added':>8}  {'own':>6}  {'goal':>6}")
    for waiting in QUEUES:
        # Alternating, so that a busy machine slows all of them alike.
        seen: dict[str, list[Step]] = {name: [] for name in schedulers}
        for _ in range(arguments.repeat):
            for name, make in schedulers.items():
                seen[name].append(measured(make, waiting, arguments.steps))
        stock = statistics.median(each.whole for each in seen["stock"])
        for name, steps in seen.items():
            mean = statistics.median(each.whole for each in steps)
            own = statistics.median(each.own for each in steps)
            added = "" if name == "stock" else f"{mean - stock:>8.0f}  {own:>6.0f}  {GOALS[waiting]:>6}"
            print(f"{waiting:>8}  {name:<8}  {mean:>10.0f}  {added}", flush=True)


class Step(NamedTuple):
    """Mean CPU microseconds of a step: on a busy machine the wall clock tells of the others."""

    whole: float
    own: float
    """What is not in vLLM's own methods."""


class Timed:
    """Times `schedule` and `update_from_output` of a scheduler: of the class we made, and of vLLM's below."""

    def __init__(self, scheduler: Any) -> None:
        from vllm.v1.core.sched.scheduler import Scheduler

        self.outer = self.inner = 0
        self._ours = type(scheduler) is not Scheduler
        for name in ("schedule", "update_from_output"):
            if self._ours:
                setattr(scheduler, name, self._timed(getattr(scheduler, name), "outer"))
        self._stock = {name: vars(Scheduler)[name] for name in ("schedule", "update_from_output")}
        self._cls = Scheduler

    def __enter__(self) -> Timed:
        for name, method in self._stock.items():
            setattr(self._cls, name, self._timed(method, "inner"))
        return self

    def __exit__(self, *raised: object) -> None:
        for name, method in self._stock.items():
            setattr(self._cls, name, method)

    @property
    def own(self) -> int:
        """Nanoseconds in our code."""
        return self.outer - self.inner if self._ours else 0

    def _timed(self, method: Any, where: str) -> Any:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.process_time_ns()
            try:
                return method(*arguments, **named)
            finally:
                setattr(self, where, getattr(self, where) + time.process_time_ns() - began)

        return timed


def measured(make: Any, waiting: int, steps: int) -> Step:
    """Serve so many steps with so many waiting."""
    from agentvm_serving.estimate.steps import CPU_135M
    from agentvm_serving.sim.replay import Engine, scheduler_arguments

    engine = Engine(CPU_135M, max_num_seqs=RUNNING, kv_tokens=RUNNING * 512)
    scheduler = make(**scheduler_arguments(engine))
    for number in range(RUNNING):
        scheduler.add_request(request(number))
    start_all(scheduler)
    for number in range(RUNNING, RUNNING + waiting):
        scheduler.add_request(request(number))
    for _ in range(20):
        step(scheduler)
    with Timed(scheduler) as timed:
        started = time.process_time()
        for _ in range(steps):
            step(scheduler)
        whole = time.process_time() - started
    return Step(whole / steps * 1e6, timed.own / steps / 1e3)


def start_all(scheduler: Any) -> None:
    """Let all that wait run, whatever the policy would have: `jit` holds some back."""
    desk = getattr(scheduler, "_desk", None)
    if desk is not None:
        wanted, desk.policy = desk.policy, policy_named("fcfs")
    while len(scheduler.running) < RUNNING:
        step(scheduler)
    if desk is not None:
        desk.policy = wanted


def request(number: int) -> Any:
    """One that outlives the measurement, due sooner or later."""
    from vllm import SamplingParams
    from vllm.v1.request import Request

    from agentvm_compiler.wire import Hints
    from agentvm_serving.slo import to_extra_args

    now = time.time()
    hints = Hints(run=f"r{number}", site=f"s{number % 20}", slo="deadline", deadline=now + 30 + number % 97)
    params = SamplingParams(max_tokens=400, ignore_eos=True, extra_args=to_extra_args(hints))
    params.update_from_generation_config({}, 999)
    return Request(
        request_id=f"r{number}",
        prompt_token_ids=[1] * 20,
        sampling_params=params,
        pooling_params=None,
        arrival_time=now,
    )


def step(scheduler: Any) -> None:
    from vllm.v1.outputs import ModelRunnerOutput

    output = scheduler.schedule()
    ran = list(output.num_scheduled_tokens)
    requests = [scheduler.requests[name] for name in ran]
    scheduler.update_from_output(
        output,
        ModelRunnerOutput(
            req_ids=ran,
            req_id_to_index={name: index for index, name in enumerate(ran)},
            sampled_token_ids=[
                [7] if each.num_computed_tokens >= each.num_tokens else [] for each in requests
            ],
            logprobs=None,
            prompt_logprobs_dict={},
            pooler_output=[],
        ),
    )


if __name__ == "__main__":
    main()
