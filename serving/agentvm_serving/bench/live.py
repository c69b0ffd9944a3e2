"""A real engine under an open-loop workload: requests arrive when they arrive, whatever the engine does.

One server for all of our policies, which begins anew with each, and one for each of
vLLM's own; kept for all workloads. They are asked by vLLM's own completions endpoint.
Prompts are token ids and lengths are forced, so that every policy serves exactly the
same. The engine does not know a length before the answer ends: one token is forbidden
until then, and wanted above all others.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio

from agentvm_compiler.errors import BackendError, InputError
from agentvm_serving.backends.http import client_module
from agentvm_serving.backends.vllm import VllmBackend
from agentvm_serving.goodput import ServedCall, ServedRequest
from agentvm_serving.slo import LENGTH_KEY, to_extra_args
from agentvm_serving.vllm import SWITCH_VARIABLE
from agentvm_serving.workload import Call, Forecast, Item, Profile, hints_of, mixed, profile_of
from agentvm_serving.workload.prefixes import text_of

from .drift import speed
from .engines import STOCK, Served

TOKENS: Final = 1000
"""Token ids of prompts are below this: ordinary ones in any vocabulary."""
END: Final = TOKENS + 1
"""The token that ends an answer."""
OURS: Final = "ours"
"""The server of all of our policies."""
PATIENCE: Final = 50
"""How often a server is asked whether it is idle, ten times a second."""
STOCK_CLS: Final = "vllm.v1.core.sched.scheduler.Scheduler"


class LiveEngine:
    """vLLM servers on this machine.

    Args:
        model: name of the model.
        folder: where it is.
        max_num_seqs: requests that may run at once.
        forecast: what the hints tell of stages to come.
    """

    def __init__(
        self, model: str, folder: str, max_num_seqs: int = 32, forecast: Forecast = "profile"
    ) -> None:
        self._model = model
        self._folder = folder
        self._slots = max_num_seqs
        self._forecast: Forecast = forecast
        self._loop = asyncio.new_event_loop()
        self._backends: dict[str, VllmBackend] = {}
        """By policy of vLLM's own, or `OURS`."""

    def serve(self, items: Sequence[Item], policy: str) -> Served:
        return self._loop.run_until_complete(self._serve(items, policy))

    def close(self) -> None:
        """End the servers. Idempotent."""
        for backend in self._backends.values():
            self._loop.run_until_complete(backend.aclose())
        self._backends.clear()

    async def _serve(self, items: Sequence[Item], policy: str) -> Served:
        name = policy if policy in STOCK else OURS
        backend = self._backends.get(name)
        cold = backend is None
        if backend is None:
            backend = self._backends[name] = self._backend(policy)
        await backend.start()
        assert backend.engine is not None
        http = client_module()
        async with AsyncExitStack() as stack:
            transport = backend.engine.transport()
            client = await stack.enter_async_context(
                http.AsyncClient(transport=transport, base_url="http://engine", timeout=None)
            )
            if cold:  # what an engine does for the first time is slow
                await _Run(client, mixed(self._slots, 50.0, seed=0), self._model).run()
            if name == OURS:
                await _switched(backend, policy)
            before = await asyncio.to_thread(speed)
            served = await _Run(client, items, self._model, self._forecast).run()
            return replace(served, speeds=(before, await asyncio.to_thread(speed)))

    def _backend(self, policy: str) -> VllmBackend:
        arguments = ["--max-num-seqs", str(self._slots)]
        if policy in STOCK:
            own = "priority" if policy == "priority" else "fcfs"
            arguments += ["--scheduler-cls", STOCK_CLS, "--scheduling-policy", own]
        return VllmBackend(
            self._model,
            resolve_model=lambda _: self._folder,
            arguments=arguments,
            variables={SWITCH_VARIABLE: "1"},
        )


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of an event stream.

    Not those of its text, which end at any of Unicode's separators: a model may say some.
    """
    begun = b""
    async for chunk in chunks:
        *lines, begun = (begun + chunk).split(b"\n")
        for line in lines:
            yield line


async def _switched(backend: VllmBackend, policy: str) -> None:
    """Let the engine begin anew with a policy, once its last requests are gone."""
    for patience in reversed(range(PATIENCE)):
        try:
            await backend.scheduler.serve_by(policy)
            return
        except InputError:
            if not patience:
                raise
            await anyio.sleep(0.1)


@dataclass
class _Run:
    """One workload on one server."""

    client: Any
    items: Sequence[Item]
    model: str
    forecast: Forecast = "profile"
    profile: Profile = field(init=False)
    began: float = 0.0
    """Unix seconds of the workload's start."""
    calls: dict[str, list[ServedCall]] = field(default_factory=dict)

    async def run(self) -> Served:
        self.profile = profile_of(self.items)
        self.began = time.time()
        async with anyio.create_task_group() as tasks:
            for item in sorted(self.items, key=lambda each: each.arrival):
                await anyio.sleep(max(0.0, self.began + item.arrival - time.time()))
                tasks.start_soon(self._item, item)
        end = max(call.token_times[-1] for made in self.calls.values() for call in made if call.token_times)
        requests = [self._served(item) for item in self.items]
        return Served(requests, end - min(each.arrival for each in self.items))

    async def _item(self, item: Item) -> None:
        for number, stage in enumerate(item.stages):
            if number:
                await anyio.sleep(item.gap_before(number))
            async with anyio.create_task_group() as tasks:
                for place, call in enumerate(stage):
                    tasks.start_soon(self._call, item, number, place, call)

    async def _call(self, item: Item, stage: int, number: int, call: Call) -> None:
        sent = time.time()
        hints = hints_of(item, stage, self.profile, self.began, self.forecast, number)
        due = hints.deadline or sent + (item.ttft or 0.0)
        body = {
            "model": self.model,
            "prompt": text_of(call, f"{item.id}/{stage}/{number}", TOKENS, salt=str(self.began)),
            "max_tokens": max(item.limit or 0, call.output_tokens),
            "min_tokens": call.output_tokens - 1,
            "stop_token_ids": [END],
            "logit_bias": {str(END): 100.0},
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            "priority": int((due - self.began) * 1000),
            "vllm_xargs": {**to_extra_args(hints), LENGTH_KEY: call.output_tokens},
        }
        times: list[float] = []
        async for produced in self._counts(body):
            times += [time.time() - self.began] * (produced - len(times))
        made = ServedCall(sent - self.began, call.input_tokens, times, len(times) == call.output_tokens)
        self.calls.setdefault(item.id, []).append(made)

    async def _counts(self, body: dict[str, Any]) -> AsyncIterator[int]:
        """The number of output tokens so far, as they come."""
        async with self.client.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != 200:
                said = (await response.aread()).decode(errors="replace")
                raise BackendError(f"the engine refused a request of the benchmark: {said[:300]}")
            async for line in lines_of(response.aiter_bytes()):
                if line.startswith(b"data: {"):
                    usage = json.loads(line.removeprefix(b"data: ")).get("usage") or {}
                    yield int(usage.get("completion_tokens") or 0)

    def _served(self, item: Item) -> ServedRequest:
        deadline = None if item.within is None else item.arrival + item.within
        return ServedRequest(item.slo, self.calls[item.id], deadline, item.ttft, item.tbt)
