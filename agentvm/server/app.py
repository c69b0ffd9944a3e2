"""The application of `agentvm serve`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

import agentvm
from agentvm.ui import mount
from agentvm.ui.routes import page_api

from . import problems
from .house import House
from .routes import PROBLEMS, agents_api
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
        async with house.runner.running():
            yield

    app = FastAPI(
        title="AgentVM", version=agentvm.__version__, description=ABOUT, lifespan=lifespan, redoc_url=None
    )
    app.state.house = house
    problems.install(app)
    app.include_router(agents_api(house))
    app.include_router(page_api(vm, responses=PROBLEMS))
    mount(app)
    return app
