"""What only the page asks for: goodput of the newest runs, and what the engine says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query

from .dashboard import Account, Goodput

if TYPE_CHECKING:
    from agentvm.vm import AgentVM


def page_api(vm: AgentVM, **options: Any) -> APIRouter:
    """The routes, over one machine's runs; `options` are those of the router."""
    api = APIRouter(prefix="/v1", **options)
    account = Account()

    @api.get("/goodput", tags=["runs"])
    async def goodput(
        since: Annotated[float, Query(ge=0, description="Unix seconds; older runs are left out.")] = 0,
    ) -> Goodput:
        """Deadlines met and missed by the newest runs, and what their tokens were worth."""
        return await account.of(vm.store, since)

    return api
