"""What only the page asks for: goodput of the newest runs, and what the engine says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query

from agentvm.views.engine import engine_of
from agentvm.views.goodput import Accounts, Goodput

if TYPE_CHECKING:
    from agentvm.server.house import House


def page_api(house: House, **options: Any) -> APIRouter:
    """The routes, over one server's runs; `options` are those of the router."""
    api = APIRouter(prefix="/v1", **options)
    accounts = Accounts()

    @api.get("/goodput", tags=["runs"])
    async def goodput(
        since: Annotated[float, Query(ge=0, description="Unix seconds; older runs are left out.")] = 0,
    ) -> Goodput:
        """Deadlines met and missed by the newest runs, and what their tokens were worth."""
        found = await accounts.of(house.vm.store, since)
        found.engine = engine_of((await house.model_metrics()).decode())
        return found

    return api
