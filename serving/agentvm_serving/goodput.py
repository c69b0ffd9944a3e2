"""Goodput: which of the tokens that were served count.

The one definition, used by trackers, simulators and reports alike (JITServe,
NSDI'26, section 2 and 6.1):

- `latency`: output token i (from 0) counts if it is out by `arrival + TTFT + i * TBT`,
  whatever became of the tokens before it;
- `deadline`: all tokens count if the last one is out by the deadline, else none does;
- `compound`: a program's calls have one end-to-end deadline; all tokens of all its
  calls count if the last call is done by then, else none does;
- `best_effort`: nothing was promised, so nothing counts.

A *request* is what a client asked for: one call, or a whole program. A latency
request is met if all its tokens counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

SloClass: TypeAlias = Literal["latency", "deadline", "compound", "best_effort"]

PREFILL_WEIGHT: Final = 1
DECODE_WEIGHT: Final = 8
"""What an input and an output token weigh in `Goodput.weighted` (JITServe, section 6.1)."""


@dataclass(frozen=True, slots=True)
class ServedCall:
    """One model call, as it was served. Times are seconds on one clock."""

    arrival: float
    input_tokens: int
    token_times: Sequence[float]
    """When each output token was out."""
    finished: bool = True
    """Whether it came to its end; a rejected or abandoned call did not."""


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One request, with the calls that were made for it."""

    slo: SloClass
    calls: Sequence[ServedCall]
    deadline: float | None = None
    """When it was due: seconds on the clock of the calls (`deadline` and `compound`)."""
    ttft: float | None = None
    """Seconds (`latency`)."""
    tbt: float | None = None
    """Seconds (`latency`)."""
    complete: bool = True
    """Whether all its calls were made; a program that was given up made fewer."""


@dataclass(frozen=True, slots=True)
class Goodput:
    """What counted of some requests, and what there was."""

    tokens: int = 0
    """Output tokens that count."""
    weighted: int = 0
    """Input and output tokens that count, by weight."""
    requests: int = 0
    """Requests whose objective was met."""
    served_tokens: int = 0
    """Output tokens, whether they count or not."""
    of_requests: int = 0
    """Requests with an objective."""

    def __add__(self, other: Goodput) -> Goodput:
        return Goodput(
            self.tokens + other.tokens,
            self.weighted + other.weighted,
            self.requests + other.requests,
            self.served_tokens + other.served_tokens,
            self.of_requests + other.of_requests,
        )

    @property
    def attainment(self) -> float:
        """Share of the requests whose objective was met; 1 if there were none."""
        return self.requests / self.of_requests if self.of_requests else 1.0


def goodput(requests: Iterable[ServedRequest]) -> Goodput:
    """What counts of all the requests together."""
    return sum(map(goodput_of, requests), Goodput())


def goodput_of(request: ServedRequest) -> Goodput:
    """What counts of one request.

    Raises:
        ValueError: its class needs a deadline, TTFT or TBT that it does not have.
    """
    served = sum(len(each.token_times) for each in request.calls)
    if request.slo == "best_effort":
        return Goodput(served_tokens=served)
    if request.slo == "latency":
        tokens, prefill, met = _by_token(request)
    else:
        met = _in_time(request)
        tokens = served if met else 0
        prefill = sum(each.input_tokens for each in request.calls) if met else 0
    weighted = PREFILL_WEIGHT * prefill + DECODE_WEIGHT * tokens
    return Goodput(tokens, weighted, int(met), served, 1)


def _by_token(request: ServedRequest) -> tuple[int, int, bool]:
    """Output tokens and input tokens that count, and whether all do."""
    if request.ttft is None or request.tbt is None:
        raise ValueError("a latency request needs a TTFT and a TBT")
    tokens = prefill = 0
    met = request.complete
    for call in request.calls:
        first = call.arrival + request.ttft
        due = [first + number * request.tbt for number in range(len(call.token_times))]
        good = sum(at <= limit for at, limit in zip(call.token_times, due, strict=True))
        tokens += good
        prefill += call.input_tokens if call.token_times and call.token_times[0] <= first else 0
        met = met and call.finished and good == len(due) > 0
    return tokens, prefill, met


def _in_time(request: ServedRequest) -> bool:
    if request.deadline is None:
        raise ValueError(f"a {request.slo} request needs a deadline")
    done = request.complete and bool(request.calls)
    return done and all(
        call.finished and bool(call.token_times) and call.token_times[-1] <= request.deadline
        for call in request.calls
    )
