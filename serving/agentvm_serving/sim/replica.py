"""One simulated engine: continuous batching as vLLM's V1 scheduler does it.

A step serves `running` in order, then admits from the queue: all that decode get a
token, prompts are worked on in chunks, within a budget of tokens. When no KV block
is free the last of `running` gives its blocks back and waits.

Where nothing can happen but decoding (no prompt is worked on, nobody can be
admitted, no plan is due, memory suffices) the steps up to the next end of a request
are passed at once: a step's time is linear in the KV it reads, so when each ends is
known in closed form. Such a stretch is cut when a request arrives; nothing of it is done
before it is over.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from agentvm_serving.estimate.steps import Batch
from agentvm_serving.workload import Call

from .clients import Asked
from .decoding import Decoding
from .engine import BLOCK, Engine
from .memory import Counted, Shared, blocks_of
from .orders import Order
from .request import Request, Steps

IDLE: Final = 0.001
"""Seconds of a step in which nothing could run."""
STUCK: Final = 1000
"""Such steps in a row that mean that nothing ever will."""


class Replica:
    """One engine.

    Args:
        make: makes the order, given the replica's clock.
    """

    def __init__(self, engine: Engine, make: Callable[[Callable[[], float]], Order]) -> None:
        self.engine = engine
        self.now = 0.0
        """When its last step ended."""
        self.end = math.inf
        """When what is under way ends; infinite if nothing is."""
        self.steps = Steps()
        self.running: list[Request] = []
        self.memory = (Shared if engine.prefix_cache else Counted)(engine.blocks - 1)
        self.preemptions = 0
        self.owed = 0
        """Tokens of prompts that it has still to read; one that is begun counts as a whole."""
        self.reused = 0
        """Tokens of prompts that were found in the cache."""
        self.idle = 0
        """Steps in which nothing could run."""
        self.log: list[dict[str, int]] | None = None
        """Of each step the new tokens by request, if somebody wants to know."""
        self.order = make(lambda: self.now)
        self._inbox: list[Request] = []
        self._unread: dict[Request, None] = {}
        """Requests without a first token."""
        self._ahead = 0
        """Steps of the stretch under way; 0 if it is a step of its own."""
        self._first = self._more = 0.0
        """Seconds of its first step, and how much longer each next one takes."""
        self._batch = Batch()
        self._worked: list[tuple[Request, int]] = []
        """In the step under way: who does not decode, with the number of its new tokens."""
        self._moved = 0
        self._idle = 0
        self._decoding = Decoding(self.steps)

    @property
    def open(self) -> int:
        """Requests that it has."""
        return len(self.running) + len(self.order) + len(self._inbox)

    def owed_between(self, now: float, due: float) -> int:
        """Of those, what belongs to requests that are due between two moments."""
        return sum(each.prompt for each in self._unread if now <= each.asked.due <= due)

    def cached(self, call: Call) -> int:
        """Tokens of a prompt that are in its cache."""
        return self.memory.known(call)

    @property
    def used(self) -> int:
        """Tokens of KV blocks in use."""
        return (self.engine.blocks - 1 - self.memory.free) * BLOCK

    def offer(self, asked: Asked) -> Request:
        """A request for it has come; it is seen when the step under way is over."""
        request = Request(asked, self.steps, self.memory.holding(asked))
        self._inbox.append(request)
        self._unread[request] = None
        self.owed += request.prompt
        self._cut(asked.at)
        return request

    def _cut(self, at: float) -> None:
        """End the stretch under way with the step that is under way at a moment."""
        if self._ahead > 1:
            passed = bisect_left(range(self._ahead - 1), at, key=lambda n: self._end_of(n + 1))
            self._ahead = passed + 1
            self.end = self._end_of(self._ahead)

    def start(self, now: float) -> None:
        """Begin what comes next, if there is anything to do."""
        if self.now < now:
            self.now = now
        for request in self._inbox:
            self.order.arrived(request)
        self._inbox.clear()
        if not self.running and not len(self.order):
            return
        evicted = self.order.begin(self.running, self._fits)
        for request in evicted:
            self.running.remove(request)
            self._preempt(request)
        limit = self._most_running()
        if not self._start_stretch(limit):
            self._start_step(limit)
        # Only now: nobody is taken back in the step in which it was evicted.
        for request in evicted:
            self.order.put_back(request)

    def complete(self, done: Callable[[Request], None]) -> None:
        """What is under way is over."""
        finished: list[Request] = []
        began = self.now
        ends = self._ends_of(self._ahead) if self._ahead else [self.end]
        if self._ahead:
            self.memory.take(self._decoding.wanted(self._ahead))
            self.order.passed(self._ahead - 1)
            if self.log is not None:
                self.log += [{each.request_id: 1 for each in self.running} for _ in ends]
            self._ahead = 0
        self.steps.ends += ends
        self.steps.made += len(ends)
        self.now, self.end = self.end, math.inf
        for request, new in self._worked:
            request.computed += new
            if request.computed >= request.prompt + request.made:
                if not request.made:
                    del self._unread[request]
                    self.owed -= request.prompt
                request.made += 1
                request.times.append(self.now)
                if request.made == request.length:
                    finished.append(request)
                else:
                    self._decoding.join(request)
        self._worked.clear()
        finished += self._decoding.done()
        self.order.stepped(self._batch, began, ends)
        if len(finished) > 1:
            finished.sort(key=self.running.index)
        for request in finished:
            self.running.remove(request)
            self.memory.give(request.holding, request.computed)
            self.order.ended(request, self.now)
            done(request)

    # a stretch of decoding ---------------------------------------------------

    def _start_stretch(self, limit: int) -> bool:
        """Begin as many steps as can be made at once; whether there are any."""
        decoding = self._decoding.count
        if not decoding or decoding < len(self.running) or self._can_admit(limit):
            return False
        if decoding > self.engine.max_num_batched_tokens:
            return False
        most = min(self._decoding.steps_to_end, self.order.quiet)
        steps = self._decoding.fitting(int(most), self.memory.free)
        if not steps:
            return False
        context = self._decoding.context
        self._batch = batch = Batch(decodes=decoding, context=context)
        self._first = self.engine.seconds(batch)
        self._more = self.engine.seconds(Batch(decodes=decoding, context=context + decoding)) - self._first
        self._ahead = steps
        self.end = self._end_of(steps)
        return True

    def _end_of(self, step: int) -> float:
        """When a step of the stretch ends, from 1."""
        return self.now + step * self._first + self._more * (step * (step - 1) // 2)

    def _ends_of(self, steps: int) -> list[float]:
        """The same of each, written out."""
        now, first, more = self.now, self._first, self._more
        return [now + step * first + more * (step * (step - 1) // 2) for step in range(1, steps + 1)]

    # one step ----------------------------------------------------------------

    def _start_step(self, limit: int) -> None:
        self._moved = 0
        before = self.preemptions
        budget = self._serve_running()
        if self.preemptions == before:
            self._admit(budget, limit)
        prefill = prompts = 0
        attention = 0.0
        decodes = self._decoding.count
        context = self._decoding.context if decodes else 0
        for request, new in self._worked:
            if new == 1 and request.made:
                decodes += 1
                context += request.computed + 1
            else:
                prefill += new
                prompts += 1
                attention += new * (request.computed + new / 2)
        self._batch = batch = Batch(prefill, attention, decodes, context, prompts)
        if not (decodes or prompts):
            self._first = IDLE + self.engine.overhead
            self._idle += 1
            self.idle += 1
        else:
            self._idle = 0
            self._first = self.engine.seconds(batch) + self._moved * self.engine.swap_per_token
        if self._idle > STUCK:
            raise RuntimeError("nothing can run though requests wait: the KV cache is too small")
        self._more = 0.0
        self.end = self.now + self._first
        if self.log is not None and (decodes or prompts):
            ran = {each.request_id: 1 for each in self.running if each.since >= 0}
            self.log.append(ran | {each.request_id: new for each, new in self._worked})

    def _serve_running(self) -> int:
        """Serve those that run; what is left of the budget of tokens."""
        budget = self.engine.max_num_batched_tokens
        most = self.order.most_tokens(len(self.running))
        if most is not None:
            budget = max(1, min(budget, most))
        found = self._in_order(budget)
        if found is None:
            return self._serve_in_order(budget)
        left, served, cut = found
        for request in cut:  # they sit this step out
            if request.since >= 0:
                self._decoding.leave(request)
        for request, new in served:
            self._work_on(request, new)
        return left

    def _in_order(self, budget: int) -> tuple[int, list[tuple[Request, int]], list[Request]] | None:
        """Serve the first of `running` first, without looking at each that decodes; blocks are taken.

        Returns:
            What is left of the budget, who does not decode with the number of its new tokens, and who gets
            nothing; `None`, and nothing is taken, if there are too few blocks.
        """
        running = self.running
        served: list[tuple[Request, int]] = []
        place, wanted = 0, self._decoding.wanted_now
        if self._decoding.count < len(running):
            for number, request in enumerate(running):
                if request.since >= 0:
                    continue
                if budget <= number - place:  # those that decode before it have all of it
                    break
                budget -= number - place
                new = min(request.prompt + request.made - request.computed, budget)
                wanted += blocks_of(request.computed + new) - blocks_of(request.computed)
                served.append((request, new))
                budget -= new
                place = number + 1
                if not budget:
                    break
        last = min(place + budget, len(running))
        cut = running[last:]
        if cut:
            now = self.steps.made % BLOCK
            wanted -= sum(each.since >= 0 and each.phase == now for each in cut)
        if wanted > self.memory.free:
            return None
        self.memory.take(wanted)
        return budget - (last - place), served, cut

    def _serve_in_order(self, budget: int) -> int:
        """The same where not all can be served: the first of `running` first."""
        running, memory = self.running, self.memory
        served: dict[Request, int] = {}
        place = 0
        while place < len(running) and budget > 0:
            request = running[place]
            has = request.num_computed_tokens
            new = min(request.num_tokens - has, budget)
            wanted = blocks_of(has + new) - blocks_of(has)
            while wanted > memory.free:
                where = self.order.victim(running)
                victim = running.pop(where)
                place -= where < place
                had = served.pop(victim, 0)
                budget += had
                self._preempt(victim, had)
                self.order.put_back(victim)
                if victim is request:
                    break
            else:
                memory.take(wanted)
                served[request] = new
                budget -= new
                place += 1
                continue
            break
        for request in running:
            if request in served:
                if request.since < 0:
                    self._work_on(request, served[request])
            elif request.since >= 0:  # it sits this step out
                self._decoding.leave(request)
        return budget

    def _admit(self, budget: int, limit: int) -> None:
        while budget > 0 and len(self.running) < limit and len(self.order):
            request = self.order.first()
            tokens = request.prompt + request.made
            found = () if request.moved else self.memory.found(request.holding, tokens)
            if blocks_of(tokens) - len(found) + self.memory.idle(found) > self.memory.free:
                return
            self.order.admit()
            self.running.append(request)
            if request.began is None:
                request.began = self.now
            self.memory.adopt(request.holding, found)
            self.reused += len(found) * BLOCK
            request.computed = len(found) * BLOCK + request.moved
            self._moved += request.moved
            request.moved = 0
            new = min(tokens - request.computed, budget)
            self.memory.take(blocks_of(request.computed + new) - len(found))
            self._work_on(request, new)
            budget -= new

    def _can_admit(self, limit: int) -> bool:
        if len(self.running) >= limit or not len(self.order):
            return False
        if self._decoding.count >= self.engine.max_num_batched_tokens:
            return False
        request = self.order.first()
        tokens = request.prompt + request.made
        found = () if request.moved else self.memory.found(request.holding, tokens)
        return blocks_of(tokens) - len(found) + self.memory.idle(found) <= self.memory.free

    def _most_running(self) -> int:
        most = self.order.most_running(len(self.running))
        slots = self.engine.max_num_seqs
        return slots if most is None else max(1, min(most, slots))

    def _fits(self, tokens: int) -> bool:
        return blocks_of(tokens) <= self.memory.free

    def _work_on(self, request: Request, new: int) -> None:
        self.memory.computed(request.holding, request.computed + new)
        self._worked.append((request, new))

    def _preempt(self, request: Request, served: int = 0) -> None:
        """Take a request's blocks, of which some may have been taken for this very step."""
        if request.since >= 0:
            self._decoding.leave(request)
        self.memory.left(request.holding, request.request_id, request.computed + served)
        if self.engine.preemption == "swap":
            request.moved = request.computed
            self._moved += request.computed
        request.computed = 0
        request.preemptions += 1
        self.preemptions += 1
