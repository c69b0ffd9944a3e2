"""Function tools in OpenAI's form: to, from, and a model's choice among them."""

from __future__ import annotations

from typing import Any

import pytest

import agentvm
from agentvm import ConfigError, InputError, agent, llm, tool
from agentvm.integrations.functions import from_openai, one_of, to_openai
from agentvm.testing import ScriptedLLM
from agentvm_compiler.calls import Effect, Tool


@tool(effect="read")
async def search(query: str, limit: int = 5) -> list[str]:
    """Search the web."""
    return [f"{query} {number}" for number in range(limit)]


@tool(effect="pure")
async def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


TOOLS: dict[str, Any] = {"search": search, "add": add}
Action: Any = one_of(search, add)

DEFINITION = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def weather_of(city: str, days: int = 1) -> str:
    return f"{city}: rain for {days} days"


weather = from_openai(DEFINITION, weather_of, effect="read")


@tool(effect="read")
def loose(*words: str) -> str:
    return " ".join(words)


@agent
async def act(question: str) -> Any:
    """Do what the model chooses."""
    action = await llm(question, returns=Action)
    return await TOOLS[action["tool"]](**action["arguments"])


@agent
async def forecast(city: str, days: int) -> str:
    return weather(city, days=days)


@pytest.mark.parametrize(
    ("chosen", "result"),
    [
        ({"tool": "add", "arguments": {"left": 2, "right": 3}}, 5),
        ({"tool": "search", "arguments": {"query": "x", "limit": 1}}, ["x 0"]),
        ({"tool": "search", "arguments": {"query": "y"}}, [f"y {number}" for number in range(5)]),
    ],
)
def test_a_model_chooses_a_tool_and_its_arguments(chosen: dict[str, Any], result: Any) -> None:
    """The answer is a plain dict; what was left out has the tool's default."""
    model = ScriptedLLM([chosen])
    assert agentvm.run(act, "What now?", llm=model, store="memory") == result
    schema = model.calls[0].schema
    assert schema is not None
    assert schema["discriminator"]["propertyName"] == "tool"


def test_a_choice_outside_the_tools_is_no_answer() -> None:
    """It is repaired once like any answer of the wrong type, and then an error."""
    wrong = '{"tool": "delete", "arguments": {}}'
    with pytest.raises(agentvm.RunFailed, match="delete"):
        agentvm.run(act, "What now?", llm=ScriptedLLM([wrong, wrong]), store="memory")


def test_a_tool_is_described_as_openai_does() -> None:
    """By its docstring and the types of its parameters."""
    assert to_openai(search) == {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Search the web.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"title": "Query", "type": "string"},
                    "limit": {"title": "Limit", "type": "integer"},
                },
                "required": ["query"],
                "additionalProperties": False,
            },
        },
    }


def test_a_definition_and_a_function_make_a_tool() -> None:
    """It has the definition's name and description and the effect it is given."""
    assert isinstance(weather, Tool)
    assert (weather.name, weather.effect, weather.__doc__) == (
        "weather",
        Effect.READ,
        "The weather of a city.",
    )
    assert agentvm.run(forecast, "Bonn", 2, store="memory", llm=ScriptedLLM([])) == "Bonn: rain for 2 days"


def test_arguments_that_the_definition_does_not_allow_are_refused() -> None:
    """With the place and the reason, before the function is called."""
    with pytest.raises(InputError, match=r"weather\(\): \$\.days: 0 is less than the minimum of 1"):
        weather(city="Bonn", days=0)


async def test_an_async_function_makes_an_async_tool() -> None:
    """It is awaited as the function was."""

    async def later(city: str) -> str:
        return city

    assert await from_openai({"name": "later"}, later, effect="pure")(city="Rome") == "Rome"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: one_of(), "needs the tools"),
        (lambda: one_of(search, search), "two tools are called 'search'"),
        (lambda: one_of(weather_of), "is not a tool"),
        (lambda: one_of(loose), "by name, so the parameter"),
        (lambda: from_openai({}, weather_of), "has no name"),
        (lambda: from_openai({"name": "x", "parameters": {"type": 3}}, weather_of), "parameters of 'x'"),
    ],
)
def test_mistakes_are_named_where_they_are_made(make: Any, told: str) -> None:
    """At import of the user's module, not in a run."""
    with pytest.raises(ConfigError, match=told):
        make()
