"""Budgets: what a run may use, counted from its journal."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from agentvm import (
    AgentVM,
    Budget,
    BudgetExceeded,
    ConfigError,
    Price,
    Retry,
    RunFailed,
    agent,
    llm,
    tool,
)
from agentvm.testing import ScriptedLLM
from agentvm_runtime.records import RunStatus


@pytest.fixture
def model() -> ScriptedLLM:
    return ScriptedLLM(lambda call: "two words")


@agent
async def chain(length: int) -> str:
    said = "start"
    for number in range(length):
        try:
            said = await llm(f"{number} {said[:5]}")
        except Exception:
            return "swallowed"
    return said


async def test_calls_beyond_the_budget_are_not_made(model):
    """The run fails with a clear error, which its program cannot catch, and goes on when it gets more."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(chain, 5, budget=Budget(calls=3))
        with pytest.raises(BudgetExceeded, match=r"budget of calls: 3 of 3.*--budget calls=MORE"):
            await handle.result()
        assert len(model.calls) == 3
        assert (await vm.get(handle.id)).status is RunStatus.FAILED
        with pytest.raises(BudgetExceeded):
            await (await vm.resume(handle)).result()
        with pytest.raises(BudgetExceeded, match="4 of 4"):
            await (await vm.resume(handle, budget=Budget(calls=4))).result()
        again = await vm.resume(handle, budget=Budget(calls=9))
        assert await again.result() == "two words"
        assert len(model.calls) == 5
        assert again.spent.calls == 5


async def test_tokens_are_input_and_output(model):
    """A call begins while the budget is not used up: here 4 and 5 are less than 10, and 14 are not."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(chain, 5, budget=Budget(tokens=10))
        with pytest.raises(BudgetExceeded, match="tokens: 14 of 10"):
            await handle.result()
        assert (handle.spent.calls, handle.spent.input_tokens, handle.spent.output_tokens) == (3, 8, 6)


async def test_cost_is_by_the_prices(model):
    """The longest name that fits the model counts; a model without a price cannot be used."""
    prices = {"": Price(input=1e9, output=0), "scripted": Price(input=100_000, output=400_000)}
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(chain, 5, budget=Budget(cost=1.5, prices=prices))
        with pytest.raises(BudgetExceeded, match=r"cost: 2\.1 of 1\.5"):
            await handle.result()
        assert handle.spent.cost == pytest.approx(2.1)
        handle = await vm.start(chain, 2, budget=Budget(cost=1, prices={"other": Price(1, 1)}))
        with pytest.raises(ConfigError, match="prices have none for 'scripted'"):
            await handle.result()
    assert len(model.calls) == 2


async def test_a_cost_is_used_up_when_it_is_reached(model):
    """Seven times 0.043 is 0.30099999999999993 as floats: an eighth call is not made for that.

    The remedy repeats the other limits, since a new budget replaces the old one.
    """
    prices = {"": Price(input=0, output=21_500)}
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(chain, 10, budget=Budget(cost=0.301, prices=prices, calls=100))
        says = rf"cost: 0\.301 of 0\.301.*resume {handle.id} --budget calls=100,cost=MORE --prices FILE$"
        with pytest.raises(BudgetExceeded, match=says):
            await handle.result()
        assert handle.spent.calls == 7


async def test_the_account_survives_a_crash(tmp_path):
    """What earlier processes used counts; a call that was cut off is made again and counts once."""
    store = f"sqlite:///{tmp_path}/runs.db"
    third = anyio.Event()

    async def script(call):
        if call.prompt.startswith("2") and not third.is_set():
            third.set()
            await asyncio.Event().wait()
        return "two words"

    model = ScriptedLLM(script)
    async with AgentVM(store=store, llm=model) as vm:
        handle = await vm.start(chain, 6, budget=Budget(calls=4))
        await third.wait()
    async with AgentVM(store=store, llm=model) as vm:
        handle = await vm.resume(handle.id)
        with pytest.raises(BudgetExceeded, match="calls: 4 of 4"):
            await handle.result()
    assert [each.prompt[0] for each in model.calls] == ["0", "1", "2", "2", "3"]


@agent
async def typed() -> list[int]:
    return [await llm("number", returns=int, retries=Retry(on=Exception)), await llm("number", returns=int)]


async def test_failed_attempts_and_repairs_count():
    """Every request to the model is one call, and its tokens are paid for."""
    answers = iter(["no", "still no", "1", "2"])
    async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: next(answers))) as vm:
        handle = await vm.start(typed, budget=Budget(calls=4))
        assert await handle.result() == [1, 2]
        events = await vm.store.events(handle.id)
        assert sum(each.detail.get("calls", 0) for each in events) == 4
        assert sum(each.detail.get("output_tokens", 0) for each in events) == handle.spent.output_tokens == 5


async def test_what_a_failure_used_counts_when_it_is_tried_again():
    """Forgetting a failure does not forget its cost."""
    answers = iter(["no", "no", "no", "no"])
    async with AgentVM(store="memory", llm=ScriptedLLM(lambda call: next(answers))) as vm:
        handle = await vm.start(one_number, budget=Budget(calls=3))
        with pytest.raises(RunFailed):
            await handle.result()
        with pytest.raises(BudgetExceeded, match="calls: 3 of 3"):
            await (await vm.resume(handle, retry=True)).result()


@agent
async def one_number() -> int:
    return await llm("number", returns=int)


@tool(effect="read")
async def thinks() -> str:
    return await llm("inside a tool")


@agent
async def delegates() -> list[str]:
    return [await thinks(), await llm("and then"), await llm("too much")]


async def test_a_tool_that_asks_the_model_pays_too(model):
    """Its calls count, and the journal has them with the tool."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(delegates, budget=Budget(calls=2))
        with pytest.raises(BudgetExceeded):
            await handle.result()
        assert len(model.calls) == 2


async def test_calls_under_way_are_finished_and_recorded():
    """The run is stopped when what has begun has ended, so that nothing is paid for in vain."""
    async with AgentVM(store="memory", llm=ScriptedLLM(slowly)) as vm:
        handle = await vm.start(fan, 5, budget=Budget(calls=3))
        with pytest.raises(BudgetExceeded):
            await handle.result()
        events = await vm.store.events(handle.id)
        assert sum(each.node == "llm" for each in events) == 3


async def slowly(call):
    await anyio.sleep(0.02)
    return "done"


@agent
async def fan(width: int) -> list[str]:
    return [await llm(f"part {number}") for number in range(width)]


@agent
async def hangs() -> str:
    return await llm("hang")


async def test_seconds_are_those_it_is_driven(tmp_path):
    """A run whose time is used up is stopped, and is not driven again without more."""

    async def hang(call):
        await asyncio.Event().wait()

    async with AgentVM(store=f"sqlite:///{tmp_path}/runs.db", llm=ScriptedLLM(hang)) as vm:
        handle = await vm.start(hangs, budget=Budget(seconds=0.05))
        with pytest.raises(BudgetExceeded, match="budget of seconds"):
            await handle.result()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Budget(calls=-1), "not negative"),
        (lambda: Budget(tokens="many"), "a number"),
        (lambda: Budget(cost=1.0), "needs prices"),
        (lambda: Budget.from_json({"call": 1}), "A budget has no 'call'"),
        (lambda: Budget.from_json({"cost": 1, "prices": {"m": {"in": 1}}}), "A price has input"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(make, message):
    """Where it is written."""
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_budget_comes_back_from_json():
    """As it is kept with the run."""
    budget = Budget(tokens=5, cost=0.5, prices={"m": Price(1, 2, 0.5)})
    assert Budget.from_json(budget.to_json()) == budget


async def test_a_fork_has_a_budget_of_its_own(model):
    """What its parent used does not count; what it inherits costs nothing."""
    async with AgentVM(store="memory", llm=model) as vm:
        handle = await vm.start(chain, 3)
        await handle.result()
        fork = await vm.fork(handle.id, set={"length": 5}, budget=Budget(calls=1))
        with pytest.raises(BudgetExceeded, match="calls: 1 of 1"):
            await fork.result()
        assert fork.spent.calls == 1
    assert len(model.calls) == 4
