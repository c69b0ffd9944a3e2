"""Kinds of requests, drawn from fits to published traces.

The fits are data (`fitted.json`, each with its source), made from the traces by
`benchmarks/fit_workloads.py`. What they do not tell is an assumption, and said
where it is made.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from .items import Call, Item
from .lengths import Pair, Quantiles, pair_of
from .scales import Scale

Kind: TypeAlias = Callable[[str, float, random.Random, Scale], Item]
"""Draws one item of a name that arrives at a time."""

SYSTEM: Final = 200
"""Tokens of the system prompt with which all chats begin: an assumption."""
MOST_SEARCH_SECONDS: Final = 5.0
"""At which the tool times of research are cut."""
MOST_TOOL_SECONDS: Final = 60.0
"""At which those of coding agents are cut."""


@cache
def fitted() -> Mapping[str, Any]:
    """The shipped fits."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("fitted.json").read_text(encoding="utf-8"))
    return found


@cache
def _pair(name: str, role: str = "") -> Pair:
    found = fitted()[name]
    return pair_of(found[role] if role else found, fitted()["at"])


@cache
def _quantiles(name: str, of: str, role: str = "") -> Quantiles:
    found = fitted()[name]
    return Quantiles(fitted()["at"], (found[role] if role else found)[of])


def chat(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
    """A turn of a conversation (Azure's), all with the same system prompt."""
    prompt, answer = _cut(*_pair("azure_conv").draw(draws), scale)
    call = Call(prompt, answer, (("chat", min(SYSTEM, prompt)),))
    return Item(
        name, "latency", at, ((call,),), "chat", ttft=scale.ttft, tbt=scale.tbt, limit=scale.most_output
    )


def deadline(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
    """A paper to be summarised by a deadline (arXiv's, as Vidur has them)."""
    call = Call(*_cut(*_pair("arxiv").draw(draws), scale))
    return Item(name, "deadline", at, ((call,),), "summary", within=scale.within, limit=scale.most_output)


def research(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
    """Deep research (JITServe's): plan, once or twice search with 1 to 3 calls and assess, then write."""
    fit = fitted()["research"]
    rounds = (int(_weighted(fit["stages"], draws)) - 2) // 2
    calls: list[tuple[Call, ...]] = [(Call(*_cut(*_pair("research", "plan").draw(draws), scale)),)]
    gaps: list[float] = []
    found = prompt = 0
    for _ in range(rounds):
        width = int(_weighted(fit["calls"], draws))
        calls.append(
            tuple(Call(*_cut(*_pair("research", "search").draw(draws), scale)) for _ in range(width))
        )
        found += sum(call.output_tokens for call in calls[-1])
        ratio = _quantiles("research", "ratio", "assess").draw(draws)
        answer = _quantiles("research", "output", "assess").draw(draws)
        prompt, said = _cut(max(prompt, round(ratio * found)), round(answer), scale)
        calls.append((Call(prompt, said),))
        gaps += [0.0, _tool_seconds(draws, MOST_SEARCH_SECONDS)]
    written = round(_quantiles("research", "output", "write").draw(draws))
    calls.append((Call(*_cut(max(1, prompt - fit["write"]["less"]), written, scale)),))
    stages = tuple(calls[: scale.most_stages])
    return _program(name, at, stages, "research", scale, (*gaps, 0.0)[: len(stages) - 1])


def tree(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
    """Tree of thought: three thoughts, a choice, three more, an answer.

    Lengths are those of conversations (an assumption); each prompt begins with the question.
    """
    prompt, _ = _cut(*_pair("azure_conv").draw(draws), scale)
    stages = []
    for width in (3, 1, 3, 1):
        answers = [_cut(1, _pair("azure_conv").draw(draws)[1], scale)[1] for _ in range(width)]
        stages.append(tuple(Call(prompt, each, ((name, prompt),)) for each in answers))
        prompt = min(scale.most_input, prompt + sum(answers))
    return _program(name, at, tuple(stages), "tree", scale)


def agent(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
    """A coding agent at one task: tens of turns in a context that grows, with tools between them.

    It ends where the context is full. Tool times are TraceLab's; they are added to its deadline.
    """
    context = min(scale.most_context // 2, round(_quantiles("agent", "opening").draw(draws)))
    turns = max(2, min(scale.most_stages, round(_quantiles("agent", "turns").draw(draws))))
    stages: list[tuple[Call, ...]] = []
    gaps: list[float] = []
    while len(stages) < turns:
        answer = _cut(1, round(_quantiles("agent", "output").draw(draws)), scale)[1]
        if stages and context + answer > scale.most_context:
            break
        stages.append((Call(context, answer, ((name, context),)),))
        # Now and then the trace's agents read as much as a whole context: such a turn is cut.
        context += answer + min(scale.most_context // 16, round(_quantiles("agent", "new").draw(draws)))
        gaps.append(_tool_seconds(draws, MOST_TOOL_SECONDS))
    return _program(name, at, tuple(stages), "agent", scale, tuple(gaps[: len(stages) - 1]), sum(gaps[:-1]))


def consistency(name: str, at: float, draws: random.Random, scale: Scale) -> Item:
    """Self-consistency: a question asked five to ten times at once; the vote takes no model.

    Lengths are those of conversations (an assumption); the prompts are the same.
    """
    prompt = _cut(*_pair("azure_conv").draw(draws), scale)[0]
    width = draws.choice((5, 8, 10))
    answers = (_cut(1, _pair("azure_conv").draw(draws)[1], scale)[1] for _ in range(width))
    # All but a token, for that is each one's own: answers go their own ways.
    calls = tuple(Call(prompt + 1, each, ((name, prompt),)) for each in answers)
    return _program(name, at, (calls,), "consistency", scale)


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "chat": chat,
        "deadline": deadline,
        "research": research,
        "tree": tree,
        "agent": agent,
        "consistency": consistency,
    }
)
"""By name."""


def _program(
    name: str,
    at: float,
    stages: tuple[tuple[Call, ...], ...],
    site: str,
    scale: Scale,
    gaps: tuple[float, ...] = (),
    more: float = 0.0,
) -> Item:
    within = scale.within * len(stages) + more
    return Item(name, "compound", at, stages, site, within=within, limit=scale.most_output, gaps=gaps)


def _cut(prompt: int, answer: int, scale: Scale) -> tuple[int, int]:
    return max(1, min(scale.most_input, prompt)), max(1, min(scale.most_output, answer))


def _weighted(counts: Mapping[str, int], draws: random.Random) -> str:
    return draws.choices(list(counts), list(counts.values()))[0]


def _tool_seconds(draws: random.Random, most: float) -> float:
    fit = fitted()["tools"]
    return min(most, math.exp(draws.gauss(fit["mu"], fit["sigma"])))
