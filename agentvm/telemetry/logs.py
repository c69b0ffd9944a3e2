"""Logs of runs: one line for what happens, as text or as JSON for machines.

`AGENTVM_LOG=info` (or `debug`) writes them to standard error, with
`AGENTVM_LOG_FORMAT=json` as one JSON object a line. A program with logging of its
own just listens to the logger `agentvm`: each record has `run`, and `path`, `site`,
`node` and more where it is about a call.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from agentvm_compiler.errors import ConfigError
from agentvm_runtime.observing import Ending, RunObserver
from agentvm_runtime.records import RunRecord, RunStatus, Source
from agentvm_runtime.work import Outcome, Work

from . import Observe

LEVEL = "AGENTVM_LOG"
FORMAT = "AGENTVM_LOG_FORMAT"
LEVELS = ("debug", "info", "warning", "error")
FIELDS = ("run", "agent", "path", "site", "node", "seconds", "status", "source", "error", "resumed", "tokens")
"""What a record may say beside its message."""

logger = logging.getLogger("agentvm.run")


def observe_logs() -> Observe | None:
    """Observers that log, if anybody listens."""
    return _Logs if logger.isEnabledFor(logging.INFO) else None


def configure(environment: Mapping[str, str]) -> None:
    """Log to standard error as the environment says; for the command line.

    Raises:
        ConfigError: a level or format that there is not.
    """
    level, form = environment.get(LEVEL, "").lower(), environment.get(FORMAT, "text").lower()
    if not level:
        return
    if level not in LEVELS:
        raise ConfigError(f"{LEVEL}={level}: use one of {', '.join(LEVELS)}.")
    if form not in ("text", "json"):
        raise ConfigError(f"{FORMAT}={form}: use text or json.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger("agentvm")
    root.addHandler(handler)
    root.setLevel(level.upper())


class JsonLines(logging.Formatter):
    """A record as one JSON object: `ts` (Unix seconds), `level`, `logger`, `message`, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """A record as a line of text: time, level, message, `field=value`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        # What models and tools say must not be taken for lines of the log, nor steer the terminal.
        line = f"{clock} {record.levelname.lower():7} {record.getMessage()}{fields}"
        line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None}


class _Logs(RunObserver):
    """One run's log."""

    def __init__(self, record: RunRecord, resumed: bool) -> None:
        self._run = record.id
        self._started = time.time()
        told = {"run": record.id, "agent": record.agent, "resumed": resumed}
        logger.info("run resumed" if resumed else "run started", extra=told)

    def begin(self, work: Work) -> Ending:
        started = time.time()
        told = {"run": self._run, "path": work.path, "site": work.site, "node": work.node}

        def end(outcome: Outcome | None, error: BaseException | None) -> None:
            seconds = round(time.time() - started, 4)
            if error is not None:
                logger.warning(
                    "%s failed", work.node, extra={**told, "seconds": seconds, "error": _said(error)}
                )
            elif logger.isEnabledFor(logging.DEBUG):
                tokens = None if outcome is None else outcome.detail.get("output_tokens")
                logger.debug("%s done", work.node, extra={**told, "seconds": seconds, "tokens": tokens})

        return end

    def reused(self, work: Work, source: Source) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            told = {"run": self._run, "path": work.path, "site": work.site, "node": work.node}
            logger.debug("%s reused", work.node, extra={**told, "source": source.value})

    def headers(self) -> Mapping[str, str]:
        return {}

    def end(self, record: RunRecord, error: BaseException | None) -> None:
        done = record.status in (RunStatus.COMPLETED, RunStatus.SUSPENDED)
        told = {
            "run": record.id,
            "agent": record.agent,
            "status": record.status.value,
            "seconds": round(time.time() - self._started, 4),
            "error": None if done or error is None else _said(error),
        }
        logger.log(logging.INFO if done else logging.WARNING, "run ended", extra=told)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
