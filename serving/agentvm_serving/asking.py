"""Objectives as clients write them: HTTP headers, or a field of the request's body.

    X-AgentVM-Deadline: 20s                     the whole answer within 20 seconds
    X-AgentVM-TTFT: 500ms, X-AgentVM-TBT: 50ms  the first token, and each further one
    {"agentvm": {"deadline": "20s"}}            the same in the body

What a client writes wrongly is refused, with the remedy: an objective that was
meant and is not there would be found out too late. (Hints that arrive in
`vllm_xargs`, as AgentVM's own runtime sends them, are read by `slo` and never
refused.)
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from agentvm_compiler.durations import seconds
from agentvm_compiler.errors import ConfigError, InputError
from agentvm_compiler.wire import Hints

from .slo import changed, from_extra_args, to_extra_args

PREFIX: Final = "x-agentvm-"
FIELD: Final = "agentvm"
"""Of a request's body."""
XARGS: Final = "vllm_xargs"
MOMENT: Final = 1e9
"""A number from here on is a moment, in Unix seconds; below it is a time from now, in seconds."""
LONGEST: Final = 366 * 86_400.0
RUNS: Final = 10_000
"""Runs whose deadlines are remembered."""

_TEXT = re.compile(r"[\x21-\x7e]{1,256}")
_MOMENTS = ("deadline", "run-deadline")
_SPANS = ("ttft", "tbt")
_TEXTS = ("key", "program", "run", "path", "site", "prefix-group")
_SLOS = ("latency", "deadline", "best_effort")
NAMES: Final = ("slo", *_MOMENTS, *_SPANS, *_TEXTS, "siblings")
"""What may be said, as headers have it."""


class Wrong(InputError):
    """Something a client wrote cannot be read."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where


class Asked:
    """Reads what clients ask for; remembers until when each run is to be done.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._runs: OrderedDict[str, float] = OrderedDict()

    def body(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
        """The body with what headers and its own field ask for, as the engine takes it.

        Raises:
            Wrong: something cannot be read.
        """
        told = _told_by(headers)
        if not told and f'"{FIELD}"'.encode() not in body:
            return body
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return body  # the server says what is wrong with it
        if not isinstance(request, dict) or (not told and FIELD not in request):
            return body
        told |= _told_in(request.pop(FIELD, {}))
        xargs = request.get(XARGS) or {}
        if not isinstance(xargs, dict):
            return body
        request[XARGS] = {**xargs, **to_extra_args(self._hints(told, from_extra_args(xargs)))}
        return json.dumps(request).encode()

    def _hints(self, told: Mapping[str, tuple[str, Any]], known: Hints | None) -> Hints:
        """Hints from what was told: by name, where it was told, and what."""
        fields: dict[str, Any] = {}
        for name, (where, value) in told.items():
            fields[name.replace("-", "_")] = _read(name, where, value)
        now = self._clock()
        run = str(fields.get("run", ""))
        if "deadline" in fields:
            fields["deadline"] = _moment(fields["deadline"], now)
        if "run_deadline" in fields:
            fields["run_deadline"] = self._until(run, _moment(fields["run_deadline"], now), now)
        if "slo" not in fields:
            timed = "deadline" in fields or "run_deadline" in fields
            paced = "ttft" in fields or "tbt" in fields
            fields |= {"slo": "latency"} if paced else {"slo": "deadline"} if timed else {}
        try:
            return changed(known, fields)
        except InputError as error:
            raise Wrong(FIELD, str(error)) from None

    def _until(self, run: str, moment: float, now: float) -> float:
        """A run is due once: what its first request says counts."""
        if not run:
            return moment
        moment = self._runs.setdefault(run, moment)
        self._runs.move_to_end(run)
        if len(self._runs) > RUNS:
            self._runs.popitem(last=False)
        return moment


def _told_by(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {}
    for raw, value in headers:
        header = raw.decode("latin-1").lower()
        if not header.startswith(PREFIX):
            continue
        name = header.removeprefix(PREFIX)
        if name not in NAMES:
            known = ", ".join(f"X-AgentVM-{each}" for each in NAMES)
            raise Wrong(header, f"there is no such header. There are: {known}")
        if name in found:
            raise Wrong(header, "it is there twice")
        found[name] = (header, value.decode("latin-1").strip())
    return found


def _told_in(field: Any) -> dict[str, tuple[str, Any]]:
    if not isinstance(field, dict):
        raise Wrong(FIELD, 'it must be an object, such as {"deadline": "20s"}')
    found: dict[str, tuple[str, Any]] = {}
    for name, value in field.items():
        if name.replace("_", "-") not in NAMES:
            known = ", ".join(each.replace("-", "_") for each in NAMES)
            raise Wrong(f"{FIELD}.{name[:64]}", f"there is no such field. There are: {known}")
        found[name.replace("_", "-")] = (f"{FIELD}.{name}", value)
    return found


def _read(name: str, where: str, value: Any) -> Any:
    if name in _TEXTS:
        if not isinstance(value, str) or not _TEXT.fullmatch(value):
            raise Wrong(where, "it must be 1 to 256 visible ASCII characters")
        return value
    if name == "slo":
        if value not in _SLOS:
            raise Wrong(where, f"it must be one of {', '.join(_SLOS)}")
        return value
    if name == "siblings":
        number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 7 else value
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number < 1_000_000:
            raise Wrong(where, "it must be a whole number from 1")
        return number
    return _time(name, where, value)


def _time(name: str, where: str, value: Any) -> float:
    try:
        amount = seconds(value, what=where)
    except ConfigError:
        raise Wrong(where, f"{value!r:.60} is no time. Write 20s, 500ms, 5m or seconds") from None
    if name in _MOMENTS and amount >= MOMENT:
        return amount
    if amount > LONGEST:
        raise Wrong(where, f"{value!r:.60} is longer than a year")
    return amount


def _moment(amount: float, now: float) -> float:
    return amount if amount >= MOMENT else now + amount
