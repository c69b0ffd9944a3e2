"""An MCP server for the tests: over stdio, or with a port over HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("notes")
LOG = Path(os.environ["NOTES_LOG"])


class Note(BaseModel):
    title: str
    words: int


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def look(title: str, brief: bool = False) -> Note:
    """Look a note up."""
    return Note(title=title, words=1 if brief else 7)


@server.tool(annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True))
def keep(text: str, ctx: Context) -> str:
    """Keep a note."""
    meta = ctx.request_context.meta or {}
    with LOG.open("a") as log:
        log.write(f"{text} {meta.get('agentvm/idempotency-key', '-')}\n")
    return f"kept {text}"


@server.tool()
def refuse(text: str) -> list[str]:
    """Always fails."""
    raise ToolError(f"no room for {text}")


@server.tool()
def die() -> str:
    """Ends the server."""
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
