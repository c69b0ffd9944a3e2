"""The decorators: what they keep, what they refuse, what the import costs."""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest

import agentvm
from agentvm import ConfigError, Retry, agent, current, llm, now, random, tool
from agentvm.sdk import RUN_OPTIONS
from agentvm_compiler.calls import Agent, CallContext, Effect, Tool


def test_bare_decorators_take_the_defaults():
    """`@agent` and `@tool` without options keep the function's name; a tool is a write."""

    @agent
    async def plan(goal: str) -> str:
        """Make a plan."""
        return goal

    @tool
    def send(text: str) -> None: ...

    assert isinstance(plan, Agent) and isinstance(send, Tool)
    assert (plan.name, plan.deadline, plan.__doc__) == ("plan", None, "Make a plan.")
    assert (send.name, send.effect, send.is_async, send.inline) == ("send", Effect.WRITE, False, False)


def test_options_are_kept_with_durations_in_seconds():
    """Durations given as text become seconds."""

    @agent(name="planner", deadline="1m")
    async def plan() -> None: ...

    @tool(effect="read", ttl="7d", timeout="250ms", retries=2, name="look")
    async def search() -> None: ...

    assert (plan.name, plan.deadline) == ("planner", 60.0)
    assert (search.name, search.effect, search.ttl, search.timeout, search.retry, search.is_async) == (
        "look",
        Effect.READ,
        604800.0,
        0.25,
        Retry(attempts=3),
        True,
    )


async def test_decorated_functions_still_run_as_ordinary_python():
    """Outside a run an agent is a coroutine function, a tool the function itself."""

    @tool(effect="pure")
    def double(number: int) -> int:
        return 2 * number

    @agent
    async def quadruple(number: int) -> int:
        return double(double(number))

    assert await quadruple(3) == 12


def _sync():
    pass


async def _generator():
    yield 1


def _lazy():
    yield 1


@agent
async def _done() -> None: ...


@tool
def _made() -> None: ...


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (_sync, "Write `async def _sync`"),
        (_generator, "an agent cannot yield"),
        (3, "takes an `async def` function, not 3"),
        (dict, "not the class dict"),
        (functools.partial(_sync), "not a functools.partial"),
        (_done, "is an agent already"),
        (_made, "is a tool; use either"),
    ],
)
def test_what_cannot_be_an_agent_is_refused(fn, message):
    """The error comes at decoration and says what to write instead."""
    with pytest.raises(ConfigError, match=message):
        agent(fn)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (_lazy, "a tool cannot yield"),
        (_generator, "a tool cannot yield"),
        ("text", "takes a function, not 'text'"),
        (dict, "not the class dict"),
        (_made, "is a tool already"),
        (_done, "is an agent; use either"),
    ],
)
def test_what_cannot_be_a_tool_is_refused(fn, message):
    """The error comes at decoration and says what to write instead."""
    with pytest.raises(ConfigError, match=message):
        tool(fn)


@pytest.mark.parametrize("name", RUN_OPTIONS)
def test_a_parameter_named_like_a_run_option_is_refused(name):
    """It could not be given to vm.run; the message proposes another name."""
    namespace: dict = {}
    exec(f"async def plan({name}): ...", namespace)
    with pytest.raises(ConfigError, match=f"`{name}` has the name of an option .* `{name}_`"):
        agent(namespace["plan"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effect": "maybe"}, 'unknown effect \'maybe\'. Use one of "pure", "read", "write"'),
        ({"effect": "pure", "ttl": 3}, 'ttl is for effect="read" only'),
        ({"retries": 2}, "Add idempotent=True"),
        ({"effect": "pure", "retries": -1}, "cannot be negative"),
        ({"effect": "read", "timeout": "soon"}, "timeout='soon' is not a duration"),
    ],
)
def test_tool_options_that_make_no_sense_are_refused(options, message):
    """Each message names the tool, the option and the remedy."""
    with pytest.raises(ConfigError) as caught:
        tool(**options)(_sync)
    assert message in str(caught.value) and "_sync" in str(caught.value)


def test_a_bad_agent_deadline_names_the_agent():
    """The option is checked at decoration."""

    async def plan() -> None: ...

    with pytest.raises(ConfigError, match="@agent on plan: deadline='later' is not a duration"):
        agent(deadline="later")(plan)


def test_now_and_random_are_inline_reads():
    """They look at the world, quickly, and give floats."""
    assert isinstance(now, Tool) and isinstance(random, Tool)
    assert (now.effect, now.inline, random.effect, random.inline) == (Effect.READ, True, Effect.READ, True)
    assert isinstance(now(), float) and 0 <= random() < 1


async def test_outside_a_run_the_model_is_out_of_reach():
    """`llm` says how to run; `current` is empty."""
    with pytest.raises(ConfigError, match=r"agentvm\.run"):
        await llm("hello")
    assert current() == CallContext()


def test_public_names_are_listed_and_unknown_ones_refused():
    """`dir` shows lazy names; a misspelt one is an AttributeError."""
    assert set(agentvm.__all__) <= set(dir(agentvm))
    assert set(agentvm.__all__) == {*agentvm._HOME, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'agnet'"):
        agentvm.agnet  # noqa: B018


def test_import_loads_nothing_heavy():
    """The import, and a program's first names, leave drivers, clients and engines alone."""
    code = (
        "import sys, agentvm; from agentvm import agent, llm; "
        "heavy = {'torch','vllm','sqlalchemy','aiosqlite','openai','httpx',"
        "'networkx','typer','rich','anyio'}; print(sorted(heavy & set(sys.modules)))"
    )
    paths = [path for path in sys.path if path]
    out = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "[]"
