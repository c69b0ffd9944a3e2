"""Tools of MCP servers as tools of AgentVM.

    files = McpServer("files", command=["uvx", "mcp-server-filesystem", "/data"])

    @files.tool(effect="read")
    async def read_file(path: str) -> str: ...

A stub declares a tool with the types an agent sees; the call goes to the server.
Nothing is connected at import. `files.tools()` asks the server instead, and
takes effects from its annotations.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from agentvm.durations import Duration
from agentvm.sdk import tool as make_tool
from agentvm_compiler.calls import Effect, Tool, current
from agentvm_compiler.errors import AgentVMError, ConfigError
from agentvm_compiler.retry import Retry

from .mcp_connection import Connection

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

__all__ = ["McpError", "McpServer"]

F = TypeVar("F", bound=Callable[..., Any])
KEY_META = "agentvm/idempotency-key"
"""Where a request's `_meta` has the key that is the same for every attempt at a call."""
UNTYPED = inspect.Signature.empty


class McpError(AgentVMError):
    """A tool of an MCP server failed, or its server could not be asked."""


class McpServer:
    """A server of tools, by a command that is started or by a URL.

    Args:
        name: what its tools are called after in listings: `NAME.TOOL`.
        command: a program and its arguments, spoken to over stdin and stdout.
        url: of a server that speaks streamable HTTP.
        env: variables added to the few that the program gets (stdio).
        cwd: where the program runs (stdio).
        headers: sent with each request, e.g. `Authorization` (HTTP). They are recorded nowhere.

    Raises:
        ConfigError: neither or both of command and URL, or options of the other kind.
    """

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str] | None = None,
        url: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if (command is None) == (url is None):
            raise ConfigError(f"McpServer({name!r}) takes either command=[...] or url=..., and not both.")
        if isinstance(command, str) or (command is not None and not command):
            raise ConfigError(f"McpServer({name!r}): command is a list: a program and its arguments.")
        if url is not None and (env is not None or cwd is not None):
            raise ConfigError(f"McpServer({name!r}): env and cwd are for a command, not for a URL.")
        if command is not None and headers is not None:
            raise ConfigError(f"McpServer({name!r}): headers are for a URL, not for a command.")
        self.name = name
        self._command = command
        self._url = url
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._headers = dict(headers or {})
        self._connection = Connection(self._client)

    def tool(
        self,
        stub: F | None = None,
        /,
        *,
        effect: str | Effect = Effect.WRITE,
        name: str | None = None,
        idempotent: bool = False,
        ttl: Duration | None = None,
        timeout: Duration | None = None,
        retries: int | Retry = 0,
        limit: int | None = None,
    ) -> Any:
        """Declare a tool of the server by an `async def` without a body; options as of `@agentvm.tool`.

        Args:
            name: the tool's name at the server; the stub's own by default.

        Raises:
            ConfigError: not an `async def`, or options that contradict each other.
        """

        def decorate(function: F) -> F:
            if not inspect.iscoroutinefunction(function):
                raise ConfigError(f"@{self.name}.tool: declare the tool as `async def NAME(...) -> T: ...`.")
            at_server = name or function.__name__
            made = make_tool(
                effect=effect,
                name=f"{self.name}.{at_server}",
                idempotent=idempotent,
                ttl=ttl,
                timeout=timeout,
                retries=retries,
                limit=limit,
            )
            return cast(F, made(self._function(at_server, function)))

        return decorate if stub is None else decorate(stub)

    def tools(self, *, effects: Mapping[str, str] | None = None) -> dict[str, Tool]:
        """The server's tools by name, with the parameters that it lists.

        A tool that the server calls read-only is a `read`, any other a `write`, which may be
        repeated if the server calls it idempotent. These are the server's word: name effects
        yourself for servers that you do not trust.

        Args:
            effects: of tools by name, over what the server says.

        Raises:
            ConfigError: an effect for a tool that the server does not have.
            McpError: the server cannot be asked.
        """
        try:
            listed = self._connection.use_now(_list)
        except Exception as error:
            raise self._unreachable(error) from error
        unknown = sorted(set(effects or {}) - {each.name for each in listed})
        if unknown:
            known = ", ".join(sorted(each.name for each in listed))
            raise ConfigError(f"{self.name} has no tool {unknown[0]!r}. It has: {known}.")
        return {each.name: self._listed(each, (effects or {}).get(each.name)) for each in listed}

    def close(self) -> None:
        """Disconnect, and stop the program if there is one. A later call connects anew."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"<MCP server {self.name}>"

    def _client(self) -> Client:
        try:
            from mcp import Client, StdioServerParameters
            from mcp.client.streamable_http import streamable_http_client
        except ImportError:
            raise ConfigError("MCP needs its package: pip install 'agentvm[mcp]'") from None

        if self._command is not None:
            program, *arguments = self._command
            return Client(
                StdioServerParameters(command=program, args=arguments, env=self._env, cwd=self._cwd)
            )
        assert self._url is not None
        if not self._headers:
            return Client(self._url)
        import httpx2

        return Client(
            streamable_http_client(self._url, http_client=httpx2.AsyncClient(headers=self._headers))
        )

    def _function(self, at_server: str, stub: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(stub)
        returns = functools.cache(lambda: _returns(stub))

        @functools.wraps(stub)
        async def call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs)
            return await self._call(at_server, _arguments(given), returns())

        return call

    def _listed(self, listed: Listed, effect: str | None) -> Tool:
        said = listed.annotations
        read = bool(said and said.read_only_hint)
        kind = effect or ("read" if read else "write")

        async def stub(**arguments: Any) -> Any: ...

        stub.__name__ = stub.__qualname__ = listed.name
        stub.__doc__ = listed.description
        stub.__signature__ = _signature(listed.input_schema)  # type: ignore[attr-defined]
        idempotent = kind == "write" and bool(said and said.idempotent_hint)
        return cast(Tool, self.tool(stub, effect=kind, idempotent=idempotent))

    async def _call(self, name: str, arguments: dict[str, Any], returns: Any) -> Any:
        key = current().idempotency_key
        meta: Any = {KEY_META: key} if key else None
        try:
            result = await self._connection.use(lambda client: client.call_tool(name, arguments, meta=meta))
        except Exception as error:
            raise self._unreachable(error, name) from error
        if result.is_error:
            raise McpError(f"{self.name}.{name} failed: {_text(result) or 'without a message'}")
        try:
            return _value(result, returns)
        except ValidationError as error:
            raise McpError(
                f"{self.name}.{name} answered with something else than its stub declares ({returns}): "
                f"{error.errors()[0]['msg']}. It answered: {_text(result)!r:.200}. "
                "Correct the stub's return type."
            ) from error

    def _unreachable(self, error: Exception, tool: str = "") -> Exception:
        if isinstance(error, AgentVMError):
            return error
        what = f"{self.name}.{tool}" if tool else self.name
        where = self._url or " ".join(self._command or ())
        told = str(error) or type(error).__name__
        return McpError(f"{what}: the MCP server ({where}) could not be asked: {told}")


async def _list(client: Client) -> list[Listed]:
    found: list[Listed] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            return found


def _signature(schema: Mapping[str, Any]) -> inspect.Signature:
    """Keyword parameters as a JSON Schema names them; those not required may be left out."""
    required = set(schema.get("required", ()))
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if name in required else None,
            )
            for name in schema.get("properties", {})
            if name.isidentifier()
        ]
    )


def _arguments(given: inspect.BoundArguments) -> dict[str, Any]:
    """What was given, as JSON values; what was left out is left to the server."""
    adapter = TypeAdapter(Any)
    return {name: adapter.dump_python(value, mode="json") for name, value in given.arguments.items()}


def _returns(stub: Callable[..., Any]) -> Any:
    return inspect.signature(stub, eval_str=True).return_annotation


def _value(result: CallToolResult, returns: Any) -> Any:
    """The tool's result as the stub's return type; without one, as it comes."""
    if returns is str:
        return _text(result)
    data = result.structured_content
    wrapped = isinstance(data, dict) and set(data) == {"result"}  # how servers send what is no object
    if returns in (UNTYPED, Any):
        if data is not None:
            return data["result"] if wrapped else data
        plain = all(block.type == "text" for block in result.content)
        return _text(result) if plain else [block.model_dump(mode="json") for block in result.content]
    adapter: TypeAdapter[Any] = TypeAdapter(returns)
    if data is None:
        return adapter.validate_json(_text(result) or "null")
    if wrapped:
        try:
            return adapter.validate_python(data["result"])
        except ValidationError:
            pass
    return adapter.validate_json(json.dumps(data))


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")
