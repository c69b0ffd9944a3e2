"""`agentvm serve`: runs and models over HTTP."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Exit
from .options import Durability, Llm, StoreUrl

if TYPE_CHECKING:
    from agentvm.server.settings import Settings
    from agentvm_compiler.calls import Agent
    from agentvm_runtime.ports import ModelBackend
    from agentvm_serving.backends.vllm import VllmBackend

TOKEN_VARIABLE = "AGENTVM_TOKEN"
SHORTEST_TOKEN = 16
"""Characters."""


def serve(
    agents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE.py[:AGENT]...]",
            help="Agents that clients may start: those named, or all of a file. None: runs can be looked at.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to bind. Beyond this machine a token is asked for, always.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind; 0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Holds the token that clients must send. Default: {TOKEN_VARIABLE}."
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name by which the server may be called. Can be repeated."),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="How many runs are driven at once; others are queued.")
    ] = 256,
    max_body: Annotated[int, typer.Option(min=1024, help="Bytes of a request's body.")] = 4 * 1024 * 1024,
    grace: Annotated[
        str, typer.Option(metavar="DURATION", help="Time for answers under way when the server is stopped.")
    ] = "10s",
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TLS certificate chain (PEM), to serve HTTPS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's private key.")] = None,
    llm: Llm = None,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME", help="How the engine orders requests (docs/scheduling.md).")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="OPTIONS", help="More options of the engine, in one text, as `vllm serve` takes them."
        ),
    ] = "",
    store: StoreUrl = None,
    durability: Durability = None,
) -> None:
    """Serve agents over HTTP (docs/serve.md), and with --llm vllm:MODEL the model to OpenAI's clients.

    SIGTERM and SIGINT stop it: its runs stay as they are, and go on when it is started again.
    """
    from agentvm.durations import seconds
    from agentvm.server.settings import Settings
    from agentvm_runtime.secret import Redacting

    found = agents_named(agents or [])
    settings = Settings(
        host=host,
        token=token_for(token_file, host),
        allowed_hosts=tuple(each.lower() for each in allowed_host or ()),
        concurrency=concurrency,
        max_body=max_body,
        starts_engine=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Redacting())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=[handler])
    for noisy in ("httpx", "httpx2", "aiosqlite", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    tls = (certificate, key) if certificate is not None else None
    grace_seconds = seconds(grace, what="--grace")

    def told(url: str) -> None:
        _announce(url, found, settings)

    backend = _backend(llm, policy, shlex.split(engine))
    serve_until_stopped(
        lambda: run_server(found, settings, port, grace_seconds, tls, backend, store, durability, told)
    )


def serve_until_stopped(server: Callable[[], Awaitable[None]]) -> None:
    """Run a server, which takes signals for itself once it listens; before, they end it at once."""
    from .driving import stoppable

    async def work() -> int:
        await server()
        return Exit.DONE

    code = stoppable(work, lambda: print("Stopped before it served.", file=sys.stderr, flush=True))
    if code is None:
        raise typer.Exit(Exit.INTERRUPTED)


def _backend(llm: str | None, policy: str | None, options: list[str]) -> str | VllmBackend:
    """The model's spec, or its engine where more is said of it. Raises ConfigError."""
    from agentvm.config import default_llm
    from agentvm_compiler.errors import ConfigError

    spec = llm or default_llm()
    if policy is None and not options:
        return spec
    kind, _, model = spec.partition(":")
    if kind != "vllm":
        raise ConfigError(f"--policy and --engine are for an engine of ours: --llm vllm:MODEL, not {spec}.")
    from agentvm.models import resolve
    from agentvm_serving.backends.vllm import VllmBackend
    from agentvm_serving.policy import DEFAULT_POLICY

    return VllmBackend(
        model,
        resolve_model=lambda name: str(resolve(name)),
        policy=policy or DEFAULT_POLICY,
        arguments=options,
    )


def agents_named(targets: list[str]) -> list[Agent]:
    """The agents of the command line. Raises InputError."""
    from agentvm.loading import agents_of, load_agent, load_file
    from agentvm_compiler.errors import InputError

    found: list[Agent] = []
    for each in targets:
        if each.endswith(".py"):
            some = list(agents_of(load_file(Path(each))).values())
            if not some:
                raise InputError(f"{each} has no agents: put @agent above an `async def`.")
            found += some
        else:
            found.append(load_agent(each))
    return list({each.ref: each for each in found}.values())


def token_for(file: Path | None, host: str) -> str | None:
    """The token, made up where one is needed and none was given. Raises ConfigError."""
    from agentvm.server.auth import new_token
    from agentvm.server.settings import is_loopback
    from agentvm_compiler.errors import ConfigError

    if file is not None:
        try:
            given = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"--token-file {file}: {error}") from None
    else:
        given = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not given:
            return None if is_loopback(host) else new_token()
    if len(given) < SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise ConfigError(
            f"The token must have at least {SHORTEST_TOKEN} characters, printable ASCII without blanks. "
            'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return given


async def run_server(
    agents: list[Agent],
    settings: Settings,
    port: int,
    grace: float,
    tls: tuple[Path, Path | None] | None,
    llm: str | ModelBackend,
    store: str | None,
    durability: str | None,
    told: Callable[[str], None],
) -> None:
    """Serve until a signal; `told` is called with the URL once requests are answered.

    A backend that is given is closed at the end.
    """
    from agentvm.config import default_store
    from agentvm.server.app import create_app
    from agentvm.server.listening import listen
    from agentvm.vm import AgentVM

    async with AsyncExitStack() as stack:
        if not isinstance(llm, str):
            stack.push_async_callback(llm.aclose)
        machine = AgentVM(store=store or default_store(), llm=llm, durability=durability)
        vm = await stack.enter_async_context(machine)
        app = create_app(vm, agents, settings)
        await listen(app, settings, port, grace, tls, told)
    print("Stopped. Runs that were under way go on with the next start.", file=sys.stderr, flush=True)


def _announce(url: str, agents: list[Agent], settings: Settings) -> None:
    names = ", ".join(each.name for each in agents) or "none; runs can be looked at"
    print(f"AgentVM serves {url}\nagents: {names}", file=sys.stderr)
    if settings.token is not None and not os.environ.get(TOKEN_VARIABLE):
        # In the fragment it is neither sent nor logged; the page exchanges it for a cookie.
        print(f"token: {settings.token}\npage: {url}/#token={settings.token}", file=sys.stderr)
    sys.stderr.flush()
