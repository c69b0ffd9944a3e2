"""The application of `agentvm serve`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.routing import Route

import agentvm
from agentvm.ui import mount
from agentvm.ui.routes import page_api

from . import problems
from .auth import Guard
from .house import House
from .limits import Limits
from .model_api import ROUTES, no_model
from .routes import PROBLEMS, agents_api
from .service import service_api
from .settings import Settings

if TYPE_CHECKING:
    from agentvm.vm import AgentVM
    from agentvm_compiler.calls import Agent

ABOUT = """Runs of AgentVM agents: start, watch, answer, fork, compare.

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problems; moments are Unix seconds."""


def create_app(vm: AgentVM, agents: Sequence[Agent] = (), settings: Settings | None = None) -> FastAPI:
    """The application over a machine that has been entered.

    Its lifespan drives the runs of the agents, those that wait in the store included; leave it before
    the machine is left.
    """
    house = House(vm, agents, settings or Settings())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with house.open():
            yield

    # No page of documentation: FastAPI's would be loaded from another host.
    options: dict[str, Any] = {"docs_url": None, "redoc_url": None, "lifespan": lifespan}
    app = FastAPI(title="AgentVM", version=agentvm.__version__, description=ABOUT, **options)
    app.state.house = house
    problems.install(app)
    app.include_router(agents_api(house))
    app.include_router(page_api(house, responses=PROBLEMS))
    app.include_router(service_api(house, responses=PROBLEMS))
    for path, method in ROUTES.items():
        app.router.routes.append(Route(path, house.model or no_model, methods=[method]))
    mount(app)
    app.add_middleware(Guard, settings=house.settings)
    app.add_middleware(Limits, settings=house.settings, observe=house.metrics.observe)
    return app
