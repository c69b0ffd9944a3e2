"""Secrets through the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentvm import AgentVM, Secret, agent, tool
from agentvm.server.app import create_app
from agentvm_runtime import secret as module

VALUE = "sk-very-secret-indeed"


@tool(effect="read")
async def uses(token: Secret) -> int:
    return len(token.reveal())


@agent
async def with_token(token: Secret) -> int:
    return await uses(token)


def on_disk(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir())


async def test_a_secret_input_is_shown_and_kept_by_name_only(tmp_path: Path, model: Any) -> None:
    """Neither the answers of the API nor the database have it; its description asks for a password."""
    import httpx

    async with AgentVM(store=f"sqlite+aiosqlite:///{tmp_path}/runs.db", llm=model) as vm:
        app = create_app(vm, [with_token])
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            texts = [(await client.get("/v1/agents")).text]
            body = {"agent": "with_token", "inputs": {"token": VALUE}, "id": "r"}
            texts.append((await client.post("/v1/runs", json=body)).text)
            for url in ("events", "", "nodes", "node?path=uses%231"):
                texts.append((await client.get(f"/v1/runs/r/{url}".rstrip("/"))).text)
            wrong = {"agent": "with_token", "inputs": {"token": VALUE, "more": 1}}
            texts.append((await client.post("/v1/runs", json=wrong)).text)
        assert '"format":"password"' in texts[0]
        assert f'"result":{len(VALUE)}' in texts[3]
        assert all(VALUE not in each for each in texts)
    assert VALUE.encode() not in on_disk(tmp_path)
    module.HELD.clear()
    module._values.clear()
