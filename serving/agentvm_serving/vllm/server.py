"""vLLM's own OpenAI-compatible server, with our scheduler in it.

    python -m agentvm_serving.vllm.server --model PATH --uds SOCKET [any option of `vllm serve`]

Options given win over the defaults chosen here. With `--end-with-owner` the
server ends, children included, when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import CONTROL, OBJECTIVES, SCHEDULER_CLS, environment, watchdog
from .resting import rest

OWNER_FLAG = "--end-with-owner"

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder by which the engine's process and the server's share their metrics."""

MAX_MODEL_LEN = 4096
"""Context length unless asked otherwise; vLLM's default, all the model can, may not fit a small KV cache."""


def defaults(model: str, given: list[str]) -> list[str]:
    """The options to add to those given: our scheduler, and what suits this machine and model."""
    wanted: dict[str, str | None] = {
        "--scheduler-cls": SCHEDULER_CLS,
        "--disable-uvicorn-access-log": None,
        # The form most open models write calls of tools in; another model's is given as an option.
        "--enable-auto-tool-choice": None,
        "--tool-call-parser": "hermes",
        # A small model under guided decoding may emit blanks for ever where the grammar allows them.
        "--structured-outputs-config": json.dumps({"backend": "xgrammar", "disable_any_whitespace": True}),
    }
    limit = _context_limit(model)
    if limit is not None and limit > MAX_MODEL_LEN:
        wanted["--max-model-len"] = str(MAX_MODEL_LEN)
    if environment.cpu_build():
        # In bfloat16 the greedy answers of small models differ from the reference's.
        wanted |= {"--dtype": "float32", "--enforce-eager": None, "--max-num-seqs": "16"}
    # Beside the user's own, if there are any.
    added = [part for each in (OBJECTIVES, CONTROL) if each not in given for part in ("--middleware", each)]
    names = {option.partition("=")[0].replace("_", "-") for option in given if option.startswith("--")}
    return added + [
        part
        for name, value in wanted.items()
        if name not in names and f"--no-{name[2:]}" not in names
        for part in ((name,) if value is None else (name, value))
    ]


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if OWNER_FLAG in given:
        given.remove(OWNER_FLAG)
        watchdog.guard(_option(given, "--uds"))
    model = _option(given, "--model")
    if model is None:
        sys.exit("agentvm_serving.vllm.server: say which model to serve: --model PATH")
    os.environ.update(environment.engine_variables(local=Path(model).is_dir()))
    environment.prepare_imports()
    with _metrics_folder(_option(given, "--uds")):
        _serve([*given, *defaults(model, given)])


@contextmanager
def _metrics_folder(socket: str | None) -> Iterator[None]:
    """A folder for the metrics of all processes, unless the environment names one."""
    if METRICS_VARIABLE in os.environ:
        yield
        return
    # Beside a socket of our own it goes when that goes, even if this process is killed.
    beside = Path(socket).parent if socket else None
    if beside is not None and not beside.name.startswith(watchdog.FOLDER_PREFIX):
        beside = None
    with tempfile.TemporaryDirectory(prefix="metrics-", dir=beside, ignore_cleanup_errors=True) as folder:
        os.environ[METRICS_VARIABLE] = folder
        yield


def _serve(arguments: list[str]) -> None:
    import asyncio

    run_server, make_arg_parser, validate = _vllm_server()
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    validate(parsed)
    try:
        import uvloop

        runner: Any = uvloop.run
    except ImportError:
        runner = asyncio.run
    runner(run_server(parsed))


def _vllm_server() -> tuple[Any, Any, Any]:
    """vLLM's `run_server`, `make_arg_parser` and `validate_parsed_serve_args`."""
    try:
        from vllm.entrypoints.launchers.api_server.entry import run_server
        from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    except ImportError:  # before 0.32 they lived with the OpenAI entry points
        from vllm.entrypoints.openai.api_server import run_server
        from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args
    return run_server, make_arg_parser, validate_parsed_serve_args


def _option(arguments: list[str], name: str) -> str | None:
    for index, argument in enumerate(arguments):
        if argument == name and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None


def _context_limit(model: str) -> int | None:
    try:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        return int(config["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


# vLLM spawns its engine, and a spawned process runs this module again under the second name.
if __name__ == "__mp_main__":
    environment.prepare_imports()
    if environment.cpu_build():
        rest()
if __name__ == "__main__":
    main()
