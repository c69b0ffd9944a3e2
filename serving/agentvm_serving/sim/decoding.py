"""Those of an engine's requests that decode, taken together: nothing of each is touched as steps are made.

A request that decodes reads one more token of KV in each step, needs a new block in every `BLOCK`-th, and is
done after so many: what all of them need together follows from the number of steps made.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from .engine import BLOCK
from .request import Request, Steps


class Decoding:
    """One engine's.

    Args:
        steps: those that it has made.
    """

    def __init__(self, steps: Steps) -> None:
        self.count = 0
        """How many there are."""
        self._steps = steps
        self._base = 0
        """KV that they would have read before the first step."""
        self._phases = [0] * BLOCK
        """How many need a block, by the number of the step modulo the size of a block."""
        self._ends: list[tuple[int, int, Request]] = []
        """After which step who is done, with some that have left since."""
        self._joined = 0

    def join(self, request: Request) -> None:
        """From now on a request gets a token with each step."""
        request.decode()
        self._joined += 1
        heapq.heappush(self._ends, (request.ends_with, self._joined, request))
        self.count += 1
        self._base += request.prompt - 1 + request.made - request.since
        self._phases[request.phase] += 1

    def leave(self, request: Request) -> None:
        """It decodes no more."""
        self.count -= 1
        self._base -= request.prompt - 1 + request.made - request.since
        self._phases[request.phase] -= 1
        request.halt()

    def done(self) -> Iterator[Request]:
        """Those that are done by now leave."""
        while self._ends and self._ends[0][0] <= self._steps.made:
            end = heapq.heappop(self._ends)
            if _holds(end):
                self.leave(end[2])
                yield end[2]

    @property
    def steps_to_end(self) -> int:
        """With which step from here the first of them is done; there must be one."""
        while not _holds(self._ends[0]):
            heapq.heappop(self._ends)
        return self._ends[0][0] - self._steps.made

    @property
    def context(self) -> int:
        """KV that they read in the next step."""
        return self._base + self.count * (self._steps.made + 1)

    # blocks ------------------------------------------------------------------

    @property
    def wanted_now(self) -> int:
        """New blocks that they need for the next step."""
        return self._phases[self._steps.made % BLOCK]

    def wanted(self, steps: int) -> int:
        """The same for so many steps."""
        rounds, rest = divmod(steps, BLOCK)
        first = self._steps.made % BLOCK
        return rounds * self.count + sum((self._phases * 2)[first : first + rest])

    def fitting(self, steps: int, free: int) -> int:
        """For how many of so many steps the free blocks suffice."""
        if free >= (steps // BLOCK + 1) * self.count:
            return steps
        made, phases = self._steps.made, self._phases
        for number in range(steps):
            free -= phases[(made + number) % BLOCK]
            if free < 0:
                return number
        return steps


def _holds(end: tuple[int, int, Request]) -> bool:
    """Whether it is still true that a request is done then."""
    return end[2].since >= 0 and end[2].ends_with == end[0]
