"""Tables of the evaluation's page, from rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Final

from agentvm_serving.bench.claims import Claim, claims
from agentvm_serving.bench.serving import Interval, Row, interval
from agentvm_serving.sim.routers import ROUTERS

from .capacity import BESIDE, IN_TIME, REQUESTS, Carried
from .studies import ABLATED, SUBJECT

CLASSES: Final = {"latency": "chats", "deadline": "deadlines", "compound": "programs"}
"""What tables call requests of each class."""


def whole(rows: Sequence[Row]) -> list[Row]:
    """Those whose load and seed all have run: a study may be half done."""
    everybody = {_who(row) for row in rows}
    there: dict[tuple[float, int], set[tuple[str, str, str]]] = {}
    for row in rows:
        there.setdefault((row.load, row.seed), set()).add(_who(row))
    return [row for row in rows if there[row.load, row.seed] == everybody]


def _who(row: Row) -> tuple[str, str, str]:
    return row.engine, row.policy, row.forecast


def comparison(rows: Sequence[Row]) -> Iterator[str]:
    """By load: tokens and requests in time, and the share of each class."""
    for load, at in _loads(rows):
        best = max({row.policy for row in at}, key=lambda each: mean(at, each, tokens))
        yield f"Load {load:g} ({fmean(row.rate for row in at):.2f} requests/s, {seeds(at)}):"
        yield ""
        measures = ("tokens in time", "weighted", "requests in time", "all tokens")
        yield from head("policy", *measures[:3], *CLASSES.values(), measures[3])
        for policy in sorted({row.policy for row in at}, key=lambda each: -mean(at, each, tokens)):
            shares = (percent(mean(at, policy, share(each))) for each in CLASSES)
            cells = [
                f"**`{policy}`**" if policy == best else f"`{policy}`",
                shown(at, policy, tokens, 0),
                shown(at, policy, lambda row: row.weighted_goodput, 0),
                shown(at, policy, lambda row: row.request_goodput, 2),
                *shares,
                shown(at, policy, lambda row: row.throughput, 0),
            ]
            yield line(*cells)
        yield ""


def gains(rows: Sequence[Row]) -> Iterator[str]:
    """Of the policy over each other one, pairs of runs of one workload."""
    found = list(claims(rows, SUBJECT))
    loads = sorted({claim.load for claim in found})
    yield from head(f"`{SUBJECT}` over", *(f"load {load:g}" for load in loads))
    for over in dict.fromkeys(claim.over for claim in found):
        at = {claim.load: only(claim) for claim in found if claim.over == over}
        yield line(f"`{over}`", *(text(at[load], 2) if load in at else "" for load in loads))
    yield ""


def ablation(rows: Sequence[Row]) -> Iterator[str]:
    """What is left of the tokens in time without each part."""
    loads = [load for load, _ in _loads(rows)]
    yield from head(f"`{SUBJECT}`", *(f"load {load:g}" for load in loads))
    for policy in dict.fromkeys(row.policy for row in rows):
        cells = []
        for _, at in _loads(rows):
            ratio = interval(ratios(at, tokens, lambda row: row.policy, policy, SUBJECT))
            cells.append(
                f"{mean(at, policy, tokens):.0f}" + (f" ({text(ratio, 2)})" if policy != SUBJECT else "")
            )
        yield line(ABLATED.get(policy, "whole"), *cells)
    yield ""


def routed(rows: Sequence[Row]) -> Iterator[str]:
    """By router; of the classes that there are."""
    measures = ("tokens in time", "over `round`", "requests in time")
    classes = [each for each in CLASSES if any(each in row.attainment for row in rows)]
    yield from head("load", "router", *measures, *(CLASSES[each] for each in classes))
    for load, at in _loads(rows):
        for router in sorted(set(map(router_of, at)), key=list(ROUTERS).index):
            of = [row for row in at if router_of(row) == router]
            shares = (fmean(share(each)(row) for row in of) for each in classes)
            cells = [
                f"{load:g}",
                f"`{router}`",
                text(interval([tokens(row) for row in of]), 0),
                text(interval(ratios(at, tokens, router_of, router, "round")), 2),
                text(interval([row.request_goodput for row in of]), 2),
                *map(percent, shares),
            ]
            yield line(*cells)
    yield ""


def inside(rows: Sequence[Row]) -> Iterator[str]:
    """How full the engine was."""
    yield from head("policy", "decoding, at most", "mean", "before their first token, at most", "mean")
    for row in rows:
        columns = ([sample[place] for sample in row.timeline] for place in (1, 2))
        cells = (f"{of(each):.0f}" for each in columns for of in (max, fmean))
        yield line(f"`{row.policy}`", *cells)
    yield ""


def survival(rows: Sequence[Row]) -> Iterator[str]:
    """Of gains, over step-time models."""
    found = list(claims(rows, SUBJECT))
    yield from head("load", f"`{SUBJECT}` over", "lowest and highest mean of the models", "on all of them")
    for claim in found:
        means = [each.mean for each in claim.ratios.values()]
        span = f"{min(means):.2f} to {max(means):.2f}"
        yield line(f"{claim.load:g}", f"`{claim.over}`", span, claim.verdict)
    yield ""
    for said, verdicts in SURVIVE.items():
        which = [f"`{each.over}`" for each in found if each.verdict in verdicts]
        yield f"- {said}: {', '.join(which) or 'none'}."
    yield ""


SURVIVE = {
    "More tokens in time, on every step-time model beyond noise, than": ("holds",),
    "Not supported, since it depends on the step-time model or is within noise on some: a gain over": (
        "flips",
        "open",
        "even",
    ),
    "Fewer tokens in time on every step-time model than": ("fails",),
}
"""What verdicts say."""


def told(rows: Sequence[Row]) -> Iterator[str]:
    """What hints are worth: tokens of programs in time, over those without hints."""
    bases = ("opaque", "none", "patterns")
    yield from head(
        "hints", "tokens in time", "of programs", "programs in time", *(f"over `{each}`" for each in bases)
    )
    for forecast in dict.fromkeys(row.forecast for row in rows):
        of = [row for row in rows if row.forecast == forecast]
        cells = [text(interval([measure(row) for row in of]), 0) for measure in (tokens, compound)]
        met = percent(fmean(row.attainment.get("compound", 0.0) for row in of))
        over = (text(hinted(rows, forecast, each), 2) for each in bases)
        yield line(f"`{forecast}`", *cells, met, *over)
    yield ""


def hinted(rows: Sequence[Row], forecast: str, other: str) -> Interval:
    """Tokens of programs in time with some hints over those with others."""
    return interval(ratios(rows, compound, lambda row: row.forecast, forecast, other))


def capacity(found: Sequence[Carried]) -> Iterator[str]:
    """The load at which each policy breaks, and what of engines is saved at equal goodput."""
    yield from head(
        "policy", f"load up to which {percent(IN_TIME)} of the requests are in time", "requests/s"
    )
    for policy in dict.fromkeys(each.policy for each in found):
        of = [each for each in found if each.policy == policy and each.measure == REQUESTS]
        loads, rates = (interval([getattr(each, name) for each in of]) for name in ("load", "rate"))
        yield line(f"`{policy}`", text(loads, 2), text(rates, 2))
    yield ""
    yield from head(
        "policy", f"tokens in time at load {BESIDE:g}", f"`{SUBJECT}` has as much up to load", "engines saved"
    )
    for other, saving in savings(found).items():
        of = [each for each in found if each.measure == other]
        loads = interval([each.load for each in of])
        wanted = percent(fmean(each.wanted for each in of))
        yield line(f"`{other}`", wanted, text(loads, 2), saved(saving))
    yield ""


def savings(found: Sequence[Carried]) -> dict[str, Interval]:
    """By other policy: share of the engines that are saved at equal goodput."""
    others = dict.fromkeys(each.measure for each in found if each.measure != REQUESTS)
    return {other: interval([_saving(each) for each in found if each.measure == other]) for other in others}


def _saving(found: Carried) -> float:
    return 1 - BESIDE / found.load if found.load else 0.0


def saved(saving: Interval) -> str:
    """A share of engines."""
    return f"{100 * saving.mean:.0f} ± {100 * saving.half:.0f} %"


def head(*names: str) -> Iterator[str]:
    """The head of a table."""
    yield line(*names)
    yield "|" + " --- |" * len(names)


def line(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def _loads(rows: Sequence[Row]) -> Iterator[tuple[float, list[Row]]]:
    for load in sorted({row.load for row in rows}):
        yield load, [row for row in rows if row.load == load]


def seeds(rows: Sequence[Row] | Sequence[Carried]) -> str:
    """How many there are."""
    count = len({row.seed for row in rows})
    return f"{count} seeds" if count > 1 else "one seed"


def only(claim: Claim) -> Interval:
    """Of a claim about one engine."""
    (ratio,) = claim.ratios.values()
    return ratio


def ratios(
    rows: Sequence[Row], of: Callable[[Row], float], kind: Callable[[Row], str], one: str, other: str
) -> list[float]:
    """One kind over another on each seed that both have."""
    base = {row.seed: of(row) for row in rows if kind(row) == other}
    pairs = [of(row) / base[row.seed] for row in rows if kind(row) == one and base.get(row.seed)]
    return pairs or [0.0]


def router_of(row: Row) -> str:
    return row.engine.rpartition("router=")[2]


def tokens(row: Row) -> float:
    return row.token_goodput


def compound(row: Row) -> float:
    return row.goodput.get("compound", 0.0)


def share(slo: str) -> Callable[[Row], float]:
    return lambda row: row.attainment.get(slo, 0.0)


def mean(rows: Iterable[Row], policy: str, of: Callable[[Row], float]) -> float:
    return fmean(of(row) for row in rows if row.policy == policy)


def shown(rows: Iterable[Row], policy: str, of: Callable[[Row], float], digits: int) -> str:
    return text(interval([of(row) for row in rows if row.policy == policy]), digits)


def text(found: Interval, digits: int) -> str:
    if not found.half:
        return f"{found.mean:.{digits}f}"
    return f"{found.mean:.{digits}f} ± {found.half:.{digits}f}"


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"
