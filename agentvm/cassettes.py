"""Cassettes: a model's answers kept in a file, so that tests of agents run without the model.

A *cassette* is a JSON file beside a test. Recording asks a real backend and keeps
what it answers; replaying asks nobody. A call is found by what it asks (messages,
model, sampling, schema); equal sampled calls get the recorded answers in turn.
"""

from __future__ import annotations

import difflib
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentvm_compiler.errors import BackendError, ConfigError, InputError
from agentvm_compiler.wire import ModelCall, ModelResult, Timing, Usage

if TYPE_CHECKING:
    from agentvm_runtime.ports import ModelBackend

__all__ = ["Cassette", "Record"]

Record: TypeAlias = Literal["none", "new", "all"]
"""What is asked of the real model: nothing, what the file does not have, or everything anew."""
RECORD_MODES: tuple[str, ...] = get_args(Record)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    finish_reason: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0


class _Exchange(BaseModel):
    """What was asked, and each answer to it in order."""

    model_config = ConfigDict(extra="forbid")

    messages: list[tuple[str, str]]
    """Role and content of each turn."""
    model: str | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)
    """What the call set; the rest is the model's default."""
    guided: dict[str, Any] | None = None
    """JSON Schema of the answer."""
    answers: list[_Answer] = Field(default_factory=list)

    @property
    def key(self) -> str:
        return json.dumps([self.messages, self.model, self.sampling, self.guided], sort_keys=True)

    @property
    def asked(self) -> str:
        """The last turn, which is what tells calls apart."""
        return self.messages[-1][1]


class _Tape(BaseModel):
    """A cassette's file."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    identities: dict[str, str] = Field(default_factory=dict)
    """Of each model that was asked, by its name in the program; execution keys see them."""
    exchanges: list[_Exchange] = Field(default_factory=list)


class Cassette:
    """A model backend that answers from a file.

    Args:
        path: the file; it need not exist when something is recorded.
        record: `none` asks nobody, `new` asks for what is missing, `all` forgets what was there.
        open_backend: gives the backend to record from; called at the first call that needs it.

    Raises:
        ConfigError: recording without a backend to record from.
        InputError: the file is not there and nothing is recorded, or is not a cassette.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        record: Record = "none",
        open_backend: Callable[[], ModelBackend] | None = None,
    ) -> None:
        if record not in RECORD_MODES:
            raise ConfigError(f"Cassette(record={record!r}): use one of {', '.join(RECORD_MODES)}.")
        if record != "none" and open_backend is None:
            raise ConfigError(f"Cassette(record={record!r}) needs open_backend, the model to record from.")
        self.path = Path(path)
        self.record = record
        self._open = open_backend
        self._backend: ModelBackend | None = None
        self._tape = _Tape() if record == "all" else _read(self.path, must=record == "none")
        self._by_key = {each.key: each for each in self._tape.exchanges}
        self._asked: Counter[str] = Counter()

    def identity(self, model: str | None) -> str:
        name = model or ""
        if name not in self._tape.identities and self._open is not None:
            self._tape.identities[name] = self._real().identity(model)
        return self._tape.identities.get(name, f"cassette/{name}")

    async def complete(
        self, call: ModelCall, progress: Callable[[int, str], None] | None = None
    ) -> ModelResult:
        exchange = _exchange(call)
        key = exchange.key
        number = self._asked[key]
        self._asked[key] += 1
        known = self._by_key.setdefault(key, exchange) if self._open else self._by_key.get(key)
        if known is not None and number < len(known.answers):
            return self._replayed(call, known.answers[number], progress)
        if known is not None and known.answers and call.sampling.deterministic:
            return self._replayed(call, known.answers[-1], progress)
        if known is None or self._open is None:
            raise BackendError(self._missing(exchange, number))
        result = await self._real().complete(call, progress)
        self._keep(known, call, result)
        return result

    async def aclose(self) -> None:
        if self._backend is not None:
            await self._backend.aclose()
            self._backend = None

    def _real(self) -> ModelBackend:
        if self._backend is None:
            assert self._open is not None
            self._backend = self._open()
        return self._backend

    def _replayed(
        self, call: ModelCall, answer: _Answer, progress: Callable[[int, str], None] | None
    ) -> ModelResult:
        if progress is not None:
            progress(answer.output_tokens, answer.text)
        at = time.time()
        return ModelResult(
            text=answer.text,
            finish_reason=answer.finish_reason,
            usage=Usage(answer.input_tokens, answer.output_tokens),
            timing=Timing(sent_at=at, first_token_at=at, finished_at=at),
            model=self.identity(call.model),
        )

    def _keep(self, exchange: _Exchange, call: ModelCall, result: ModelResult) -> None:
        """Written after each answer: an interrupted recording keeps what was paid for."""
        self.identity(call.model)
        if not exchange.answers:
            self._tape.exchanges.append(exchange)
        exchange.answers.append(
            _Answer(
                text=result.text,
                finish_reason=result.finish_reason,
                input_tokens=result.usage.input_tokens,
                output_tokens=result.usage.output_tokens,
            )
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._tape.model_dump(exclude_defaults=True) | {"version": 1}, indent=1)
        draft = self.path.with_suffix(".part")
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(self.path)

    def _missing(self, asked: _Exchange, number: int) -> str:
        remedy = "Record it: pytest --agentvm-record=new, or Cassette(..., record='new', open_backend=...)."
        known = self._by_key.get(asked.key)
        if known is not None:
            return (
                f"{self.path} has {len(known.answers)} answers to {asked.asked!r:.200}, "
                f"and it was asked once more. {remedy}"
            )
        prompts = [each.asked for each in self._tape.exchanges]
        near = difflib.get_close_matches(asked.asked, prompts, n=1, cutoff=0.4)
        hint = f"\nThe nearest that it has is {near[0]!r:.200}." if near else ""
        if near == [asked.asked]:
            hint = "\nIt has this text, but with other turns before it, another model, sampling or schema."
        return f"{self.path} has no answer to {asked.asked!r:.200}.{hint}\n{remedy}"


def _exchange(call: ModelCall) -> _Exchange:
    sampling = {
        "temperature": call.sampling.temperature,
        "top_p": call.sampling.top_p,
        "max_tokens": call.sampling.max_tokens,
        "seed": call.sampling.seed,
        "stop": list(call.sampling.stop) or None,
    }
    return _Exchange(
        messages=[(each.role, each.content) for each in call.messages],
        model=call.model,
        sampling={name: value for name, value in sampling.items() if value is not None},
        guided=call.schema,
    )


def _read(path: Path, *, must: bool) -> _Tape:
    try:
        return _Tape.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        if not must:
            return _Tape()
        raise InputError(f"There is no cassette {path}. Record it: pytest --agentvm-record=new.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"]) or "the file"
        raise InputError(
            f"{path} is not a cassette: {where}: {first['msg']}. Mend it, or record it anew: "
            "pytest --agentvm-record=all."
        ) from None
