"""Runs that are not written yet, made of what a caller asks for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import compile_agent
from agentvm_runtime.budgets import BUDGET, Budget
from agentvm_runtime.deadlines import ON_DEADLINE
from agentvm_runtime.records import Digest, RunRecord
from agentvm_runtime.revision import MEMO, MODULE, code_of
from agentvm_runtime.rooms import CONCURRENCY
from agentvm_runtime.values import digest, encode

from .durations import Duration, optional_seconds
from .inputs import validate_inputs
from .sdk import deadline_policy, positive


@dataclass(frozen=True, slots=True)
class Terms:
    """What bounds a run, as `AgentVM.start` takes it."""

    deadline: Duration | None
    on_deadline: str | None
    budget: Budget | None
    concurrency: int | None
    memo: bool
    llm: str
    """The model's spec, by which a later process finds it; empty for an object."""

    def ends_at(self, agent: Agent, now: float) -> float | None:
        """When the run is to have ended, in Unix seconds."""
        seconds = optional_seconds(self.deadline, what="deadline")
        seconds = agent.deadline if seconds is None else seconds
        return None if seconds is None else now + seconds

    def meta(self, agent: Agent) -> dict[str, Any]:
        """What the run keeps of them."""
        policy = deadline_policy(self.on_deadline or agent.on_deadline)
        options: dict[str, Any] = {
            MEMO: None if self.memo else False,
            BUDGET: None if self.budget is None else self.budget.to_json(),
            CONCURRENCY: positive(self.concurrency, "concurrency"),
        }
        given = {name: option for name, option in options.items() if option is not None}
        return {"file": agent.fn.__code__.co_filename, "llm": self.llm, ON_DEADLINE: policy, **given}


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that can be written."""

    record: RunRecord
    agent: Agent
    values: Mapping[Digest, bytes]
    """What the record names and the store may not have."""


def new_run(
    agent: Agent, args: Sequence[Any], kwargs: Mapping[str, Any], terms: Terms, run_id: str | None
) -> NewRun:
    """A run of an agent with these inputs. Raises InputError if they do not fit it."""
    data = encode(validate_inputs(agent, args, kwargs), name="the agent's inputs")
    now = time.time()
    ends_at = terms.ends_at(agent, now)
    compiled = compile_agent(agent)
    code, source = code_of(compiled)
    record = RunRecord(
        id=run_id or _new_id(now),
        agent=agent.ref,
        program=compiled.hash,
        inputs=digest(data),
        created_at=now,
        deadline_at=ends_at,
        meta={**terms.meta(agent), MODULE: code},
    )
    return NewRun(record, agent, {record.inputs: data, code: source})


def new_fork(parent: RunRecord, agent: Agent, terms: Terms, run_id: str | None) -> RunRecord:
    """The record of a fork, as far as it does not depend on what is overridden."""
    now = time.time()
    return RunRecord(
        id=run_id or _new_id(now),
        agent=agent.ref,
        program=compile_agent(agent).hash,
        inputs=parent.inputs,
        created_at=now,
        deadline_at=terms.ends_at(agent, now),
        parent=parent.id,
        meta=terms.meta(agent),
    )


def _new_id(now: float) -> str:
    """A run id: sorts by time, and is short enough to type."""
    return time.strftime("%m%d-%H%M%S-", time.localtime(now)) + secrets.token_hex(3)
