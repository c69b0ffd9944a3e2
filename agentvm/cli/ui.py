"""`agentvm ui`: the web page of the runs of a store, on this machine."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Durability, Llm, StoreUrl

if TYPE_CHECKING:
    from agentvm_compiler.wire import ModelCall, ModelResult
    from agentvm_runtime.ports import Progress

HOST = "127.0.0.1"
PORT = 8765
GRACE = 2.0
"""Seconds that answers under way have when the page is stopped."""


def ui(
    agents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE.py[:AGENT]...]",
            help="Agents that the page may start, resume and fork: those named, or all of a file. "
            "Without any, runs can be looked at, answered and cancelled.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help=f"Port to bind. Default: {PORT}, or a free one.", show_default=False
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser, where there is a desktop.")
    ] = True,
    llm: Llm = None,
    store: StoreUrl = None,
    durability: Durability = None,
) -> None:
    """Look at runs in a browser: their graphs, live; start, fork, compare and answer them (docs/ui.md).

    Only this machine can reach the page; `agentvm serve` serves it to others. Ctrl-C stops it.

    Example: agentvm ui examples/research.py
    """
    from agentvm.server.settings import Settings

    from .serve import agents_named, run_server, serve_until_stopped, token_for

    settings = Settings(host=HOST, token=token_for(None, HOST))
    found = agents_named(agents or [])

    def told(url: str) -> None:
        # In the fragment a token is neither sent nor logged; the page exchanges it for a cookie.
        page = f"{url}/" if settings.token is None else f"{url}/#token={settings.token}"
        print(f"The page: {page}\nCtrl-C stops it.", file=sys.stderr, flush=True)
        if open_page and _has_desktop():
            import webbrowser

            webbrowser.open(page)

    wanted = _free_port() if port is None else port
    model = _model_or_none(llm)
    serve_until_stopped(
        lambda: run_server(found, settings, wanted, GRACE, None, model, store, durability, told)
    )


class NoModel:
    """Stands for a model that is not there: runs can be looked at all the same."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def identity(self, model: str | None) -> str:
        return model or "none"

    async def complete(self, call: ModelCall, progress: Progress | None = None) -> ModelResult:
        from agentvm_compiler.errors import BackendError

        raise BackendError(f"This server has no model to ask. {self._problem}")

    async def aclose(self) -> None:
        return


def _model_or_none(llm: str | None) -> str | NoModel:
    """The model that is asked for, or else the default one if it is there."""
    from agentvm.backends import open_llm
    from agentvm.config import LLM_VARIABLE, default_llm
    from agentvm_compiler.errors import AgentVMError

    spec = llm or default_llm()
    if llm is None and not os.environ.get(LLM_VARIABLE):
        try:
            open_llm(spec)  # it starts with the first call, not here
        except AgentVMError as error:
            return NoModel(str(error))
    return spec


def _free_port() -> int:
    """The usual port, else 0 for any."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, PORT))
        except OSError:
            return 0
    return PORT


def _has_desktop() -> bool:
    """Whether somebody is likely to see a browser that is opened here."""
    if not sys.stderr.isatty():
        return False
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
