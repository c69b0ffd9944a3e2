"""Questions to people, and what counts as an answer.

What is answered is checked twice: by the JSON Schema where it is given, which
any process can do, and by the type itself where the program takes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from agentvm_compiler.errors import InputError
from agentvm_compiler.human import HumanRequest

from .errors import RunSuspended
from .records import Event
from .structured import adapter_of, problems, type_name

Human = Callable[[HumanRequest], Any]
"""Somebody at hand, who answers a question; may be a coroutine function."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a run."""

    path: str
    text: str
    key: str
    """Execution key: an answer is to this question, not to another at the same path."""
    schema: dict[str, Any]
    """JSON Schema of the answer."""
    asked_at: float
    """Unix seconds."""
    problem: str = ""
    """Why an earlier answer was refused."""


def question_of(event: Event) -> Question:
    """The question that was put by an event of kind ASKED."""
    detail = event.detail
    schema = detail["schema"] or {"type": "string"}
    return Question(
        event.path, detail["question"], event.key, schema, event.started_at, detail.get("problem", "")
    )


def suspension(run_id: str, questions: Sequence[Question]) -> RunSuspended:
    """What a run ends with for now that waits for answers."""
    node = f"'{questions[0].path}' " if len(questions) > 1 else ""
    return RunSuspended(
        f"Run {run_id} waits for an answer:\n"
        + "\n".join(f"  {line}" for each in questions for line in described(each))
        + f"\nAnswer it, from any process: agentvm answer {run_id} {node}VALUE"
    )


def described(question: Question) -> list[str]:
    """A question for people, in lines."""
    kind = "" if question.schema == {"type": "string"} else f"  ({_shape(question.schema)})"
    refused = [f"  {question.problem}"] if question.problem else []
    return [f"{question.path}: {question.text}{kind}", *refused]


def _shape(schema: dict[str, Any]) -> str:
    plain = {each: schema[each] for each in ("type", "enum") if each in schema}
    return "yes or no" if plain == {"type": "boolean"} else json.dumps(schema, ensure_ascii=False)


def accepted(value: Any, returns: Any) -> Any:
    """The answer as a value of the type.

    Raises:
        InputError: it is none.
    """
    adapter = adapter_of(returns)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        problem = problems(error)
    try:  # as it would be written in JSON: a date, say, or an enum within an object
        return adapter.validate_json(json.dumps(as_json(value)))
    except ValueError:  # pydantic's error is one
        raise InputError(f"the answer {value!r:.80} is not a valid {type_name(returns)}: {problem}") from None


def as_json(value: Any) -> Any:
    """The value as JSON types. Raises InputError if it has no JSON form."""
    from pydantic_core import to_jsonable_python

    try:
        return to_jsonable_python(value)
    except ValueError as error:  # pydantic's error is one
        raise InputError(f"the answer {value!r:.80} has no JSON form: {error}") from None


def check_answer(question: Question, value: Any) -> None:
    """Raises InputError if the value cannot be an answer, as far as the JSON Schema tells."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    worst = best_match(Draft202012Validator(question.schema).iter_errors(as_json(value)))
    if worst is not None:
        where = "".join(f"{each}: " for each in worst.path)
        raise InputError(
            f"{value!r:.80} is no answer to '{question.text:.80}' ({question.path}): {where}{worst.message}. "
            f"Its JSON Schema is {json.dumps(question.schema, ensure_ascii=False)}"
        )


def answer_from_text(question: Question, text: str) -> Any:
    """What somebody typed, as a value the question takes: text or JSON, whichever fits.

    Raises:
        InputError: neither does.
    """
    candidates = [text] if question.schema.get("type") == "string" else [*_parsed(text), text]
    for each in candidates:
        try:
            check_answer(question, each)
        except InputError:
            continue
        return each
    check_answer(question, candidates[0])
    raise AssertionError("unreachable")


def _parsed(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except ValueError:
        spoken = {"yes": True, "y": True, "no": False, "n": False}
        word = text.strip().lower()
        return [spoken[word]] if word in spoken else []
