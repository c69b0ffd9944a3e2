"""Tools of a real MCP server, over stdio and over HTTP, called by agents."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel

import agentvm
from agentvm import AgentVM, ConfigError, RunFailed, agent
from agentvm.testing import ScriptedLLM
from agentvm_compiler.calls import Effect

pytest.importorskip("mcp", reason="the MCP client is not installed: pip install 'agentvm[mcp]'")

from agentvm.integrations.mcp import McpError, McpServer

SCRIPT = Path(__file__).parent / "mcp_server.py"
NOTES = Path(os.environ.setdefault("AGENTVM_TEST_NOTES", f"/tmp/agentvm-notes-{os.getpid()}"))


class Note(BaseModel):
    title: str
    words: int


notes = McpServer("notes", command=[sys.executable, str(SCRIPT)], env={"NOTES_LOG": str(NOTES)})


@notes.tool(effect="read")
async def look(title: str, brief: bool = False) -> Note: ...


@notes.tool(idempotent=True, name="keep")
async def store_note(text: str) -> str: ...


@notes.tool
async def refuse(text: str) -> list[str]: ...


@notes.tool(name="look", effect="read")
async def misdeclared(title: str) -> list[int]: ...


@notes.tool(effect="read", retries=1)
async def die() -> str: ...


@agent
async def survey(titles: list[str]) -> list[Note]:
    """Look at notes side by side, then keep one line about them."""
    found = [await look(title) for title in titles]
    await store_note(f"saw {len(found)}")
    return found


@agent
async def stubborn(text: str) -> list[str]:
    return await refuse(text)


@agent
async def mistaken(title: str) -> list[int]:
    return await misdeclared(title)


@pytest.fixture(autouse=True)
def log() -> Iterator[Path]:
    NOTES.unlink(missing_ok=True)
    yield NOTES
    NOTES.unlink(missing_ok=True)


@pytest.fixture(scope="module", autouse=True)
def stopped() -> Iterator[None]:
    yield
    notes.close()


async def test_an_agent_calls_tools_by_their_stubs(tmp_path: Path, log: Path) -> None:
    """Results have the declared type; reads and writes are ordered and recorded as declared."""
    async with AgentVM(store=f"sqlite+aiosqlite:///{tmp_path / 'runs.db'}", llm=ScriptedLLM([])) as vm:
        run = await vm.start(survey, ["a", "b"])
        assert await run.result() == [Note(title="a", words=7), Note(title="b", words=7)]
        again = await vm.resume(run.id)
        assert len(await again.result()) == 2
    kept = lines(log)
    assert len(kept) == 1
    assert kept[0].startswith("saw 2 ")
    assert not kept[0].endswith(" -"), "the server gets the call's idempotency key"


def test_a_tool_that_fails_raises_what_the_server_said() -> None:
    """The agent may catch it as it would any exception."""
    with pytest.raises(RunFailed) as failed:
        agentvm.run(stubborn, "x", store="memory", llm=ScriptedLLM([]))
    assert isinstance(failed.value.error, McpError)
    assert "notes.refuse failed" in str(failed.value.error)
    assert "no room for x" in str(failed.value.error)


def test_a_result_of_another_type_names_the_stub_as_wrong() -> None:
    """What came is quoted; nothing is guessed."""
    with pytest.raises(RunFailed) as failed:
        agentvm.run(mistaken, "x", store="memory", llm=ScriptedLLM([]))
    assert "something else than its stub declares" in str(failed.value.error)


async def test_a_server_that_dies_is_started_again() -> None:
    """The call that killed it fails, the next one has a new server."""
    with pytest.raises(McpError, match="could not be asked"):
        await die()
    assert await look("after") == Note(title="after", words=7)


async def test_calls_go_to_one_server_side_by_side() -> None:
    """One connection serves many calls at once, also from other event loops."""
    found = await asyncio.gather(*(look(str(number), brief=True) for number in range(20)))
    assert [each.title for each in found] == [str(number) for number in range(20)]
    assert await asyncio.to_thread(asyncio.run, look("elsewhere")) == Note(title="elsewhere", words=7)


def test_listed_tools_take_their_effects_from_the_servers_annotations() -> None:
    """Read-only is a read, anything else a write; a user's word goes over the server's."""
    listed = notes.tools()
    effects = {name: (each.effect, each.idempotent) for name, each in listed.items()}
    assert effects == {
        "look": (Effect.READ, False),
        "keep": (Effect.WRITE, True),
        "refuse": (Effect.WRITE, False),
        "die": (Effect.WRITE, False),
    }
    assert listed["look"].__doc__ == "Look a note up."
    assert str(listed["look"].signature) == "(*, title, brief=None)"
    assert notes.tools(effects={"look": "pure"})["look"].effect is Effect.PURE
    with pytest.raises(ConfigError, match=r"notes has no tool 'loook'\. It has: die, keep, look, refuse"):
        notes.tools(effects={"loook": "read"})


async def test_a_listed_tool_is_called_by_keywords() -> None:
    """What is left out is left to the server."""
    assert await notes.tools()["look"](title="x") == {"title": "x", "words": 7}


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.fixture
def over_http(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    environment = {**os.environ, "NOTES_LOG": str(tmp_path / "log")}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(port)], env=environment, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/mcp"
    while process.poll() is None:
        try:
            httpx.get(url, timeout=60)
            break
        except httpx.TransportError:
            continue
    yield url
    process.kill()
    process.wait()


async def test_a_server_may_be_a_url(over_http: str) -> None:
    """Streamable HTTP, with headers of one's own."""
    server = McpServer("web", url=over_http, headers={"Authorization": "Bearer secret"})

    @server.tool(effect="read")
    async def look(title: str) -> Note: ...

    assert await look("web") == Note(title="web", words=7)
    await asyncio.to_thread(server.close)


async def test_a_server_that_is_not_there_is_named() -> None:
    """With its address, and what went wrong."""
    server = McpServer("gone", command=["/does/not/exist"])

    @server.tool(effect="read")
    async def look(title: str) -> Note: ...

    with pytest.raises(McpError, match=r"gone\.look: the MCP server \(/does/not/exist\) could not be asked"):
        await look("x")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "either command=.* or url="),
        ({"command": ["x"], "url": "http://x"}, "either command=.* or url="),
        ({"command": "uvx x"}, "command is a list"),
        ({"url": "http://x", "env": {}}, "env and cwd are for a command"),
        ({"command": ["x"], "headers": {}}, "headers are for a URL"),
    ],
)
def test_contradictory_options_are_refused(options: dict[str, object], told: str) -> None:
    """Where the server is declared, and not when it is called."""
    with pytest.raises(ConfigError, match=told):
        McpServer("x", **options)  # type: ignore[arg-type]


def test_a_stub_is_an_async_function() -> None:
    """Told at the decorator."""
    with pytest.raises(ConfigError, match="async def"):

        @notes.tool
        def look(title: str) -> str: ...
