"""Programs to be compiled and simulated: agents whose shape depends on what the model answers.

Lengths are those of the shipped fits where these tell; the rest are assumptions,
said where they are made.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from types import MappingProxyType
from typing import Any, Final

from agentvm import agent, llm, tool
from agentvm_compiler.wire import ModelCall
from agentvm_serving.workload.answers import mark, tokens_of
from agentvm_serving.workload.kinds import fitted
from agentvm_serving.workload.lengths import Quantiles, pair_of

from .recording import Answer, Program

RATIO: Final = 2.5
"""What a search finds, in tokens, over what is noted of it: JITServe's programs, on average."""
STEPS: Final = (2, 9)
"""Fewest and most steps of a plan, all numbers alike: about what tasks of GAIA's first two levels take
(arXiv 2311.12983)."""


@tool(effect="read")
async def look_up(query: str, seconds: float) -> str:
    """Look something up, which takes so long."""
    await asyncio.sleep(seconds)
    return "found"


@agent
async def note(query: str, seconds: float) -> str:
    found = await look_up(query, seconds)
    return await llm(f"Search {query} {found}", max_tokens=1024)


@agent
async def research(question: str, seconds: list[float]) -> str:
    """Plan, search side by side, assess; if something is missing search again; write."""
    queries = await llm(f"Plan {question}", returns=list[str], max_tokens=1024)
    notes = [await note(query, seconds[0]) for query in queries]
    missing = await llm(f"Assess {question} {notes}", returns=list[str], max_tokens=1024)
    if missing:
        more = [await note(query, seconds[1]) for query in missing]
        notes = notes + more
        missing = await llm(f"Assess {question} {notes} again", returns=list[str], max_tokens=1024)
    return await llm(f"Write {question} {notes} without {missing}", max_tokens=1024)


@agent
async def tree(question: str) -> str:
    """Three thoughts, a choice, three more from it, an answer."""
    first = [await llm(f"Think {question} {n}", max_tokens=1024) for n in range(3)]
    best = await llm(f"Choose {question} {first}", max_tokens=1024)
    second = [await llm(f"Think {question} {best} {n}", max_tokens=1024) for n in range(3)]
    return await llm(f"Answer {question} {best} {second}", max_tokens=1024)


@agent
async def coder(task: str, most: int, seconds: list[float]) -> str:
    """Act until it is done, each turn in the context of all before."""
    context = f"Act {task}"
    for turn in range(most):
        action = await llm(context, max_tokens=1024)
        if "done" in action:
            break
        seen = await look_up(action, seconds[turn])
        context = f"{context} {action} {seen}"
    return context


@agent
async def planner(task: str) -> str:
    """Plan, do one step after the other with what those before gave, answer."""
    steps = await llm(f"Plan {task}", returns=list[str], max_tokens=1024)
    done = task
    for step in steps:
        given = await llm(f"Do {done} {step}", max_tokens=1024)
        done = f"{done} {step} {given}"
    return await llm(f"Write {done}", max_tokens=1024)


@agent
async def consistency(question: str) -> str:
    """The same question five times; the answer most often given."""
    answers = [await llm(f"Solve {question}", max_tokens=1024) for _ in range(5)]
    return Counter(answers).most_common(1)[0][0]


def _research_inputs(draws: random.Random, number: int) -> dict[str, Any]:
    return {"question": f"question {number}", "seconds": [_tool_seconds(draws, 5.0) for _ in range(2)]}


def _research_answer(call: ModelCall, draws: random.Random) -> Answer:
    fit = fitted()["research"]
    role = _word(call).lower()
    if role == "plan":
        return [f"query {n}" for n in range(_width(draws))], _drawn(fit["plan"]["output"], draws)
    if role == "assess":
        last = _text(call).endswith("again") or draws.random() < fit["stages"]["4"] / fit["programs"]
        # A judgement that names nothing more is as short as the shortest of JITServe's.
        missing = [] if last else [f"query {n}" for n in range(_width(draws))]
        return missing, max(13, _drawn(fit["assess"]["output"], draws)) if missing else 13
    tokens = _drawn(fit[role]["output"], draws)
    return mark(round(RATIO * tokens) if role == "search" else tokens), tokens


def _research_prompt(call: ModelCall, draws: random.Random) -> int:
    role = _word(call).lower()
    if role in ("plan", "search"):
        return _drawn(fitted()["research"][role]["input"], draws)
    return tokens_of(_text(call))


def _chat_answer(call: ModelCall, draws: random.Random) -> Answer:
    """As long as those of conversations: an assumption."""
    tokens = pair_of(fitted()["azure_conv"], fitted()["at"]).draw(draws)[1]
    return mark(tokens), tokens


def _planner_answer(call: ModelCall, draws: random.Random) -> Answer:
    """A plan's and an answer's lengths are those of research, a step's those of its notes: assumptions."""
    fit = fitted()["research"]
    role = _word(call).lower()
    if role == "plan":
        return [f"step {n}" for n in range(draws.randint(*STEPS))], _drawn(fit["plan"]["output"], draws)
    tokens = _drawn(fit["search" if role == "do" else "write"]["output"], draws)
    return mark(tokens), tokens


def _coder_inputs(draws: random.Random, number: int) -> dict[str, Any]:
    fit = fitted()["agent"]
    opening = min(32_000, _drawn(fit["opening"], draws))
    seconds = [_tool_seconds(draws, 10.0) for _ in range(32)]
    return {"task": f"task {number} {mark(opening)}", "most": 32, "seconds": seconds}


def _coder_answer(call: ModelCall, draws: random.Random) -> Answer:
    fit = fitted()["agent"]
    tokens = max(1, min(1024, _drawn(fit["output"], draws)))
    new = min(4000, _drawn(fit["new"], draws))
    full = tokens_of(_text(call)) + tokens + new > 60_000
    # One turn in thirty is the last one: the traced sessions have a median of 33.
    return mark(tokens + new) + (" done" if full or draws.random() < 1 / 30 else ""), tokens


def _question(draws: random.Random, number: int) -> dict[str, Any]:
    return {"question": f"question {number} {_asked(draws)}"}


def _task(draws: random.Random, number: int) -> dict[str, Any]:
    return {"task": f"task {number} {_asked(draws)}"}


PROGRAMS: Final = MappingProxyType(
    {
        "research": Program(research, _research_inputs, _research_answer, _research_prompt, tick=60.0),
        "tree": Program(tree, _question, _chat_answer, tick=60.0),
        "coder": Program(coder, _coder_inputs, _coder_answer, tick=400.0),
        "planner": Program(planner, _task, _planner_answer, tick=60.0),
        "consistency": Program(consistency, _question, _chat_answer, tick=60.0),
    }
)
"""By name."""


def _drawn(values: list[float], draws: random.Random) -> int:
    return max(1, round(Quantiles(fitted()["at"], values).draw(draws)))


def _asked(draws: random.Random) -> str:
    """A text as long as a prompt of conversations."""
    return mark(pair_of(fitted()["azure_conv"], fitted()["at"]).draw(draws)[0])


def _width(draws: random.Random) -> int:
    counts = fitted()["research"]["calls"]
    return int(draws.choices(list(counts), list(counts.values()))[0])


def _tool_seconds(draws: random.Random, most: float) -> float:
    fit = fitted()["tools"]
    return round(min(most, math.exp(draws.gauss(fit["mu"], fit["sigma"]))), 3)


def _text(call: ModelCall) -> str:
    return call.messages[-1].content


def _word(call: ModelCall) -> str:
    return _text(call).split()[0]
