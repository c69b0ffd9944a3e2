"""Loading agents by file or module, and binding their inputs."""

from __future__ import annotations

import json
import sys
from datetime import date
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import BaseModel

from agentvm import InputError, agent
from agentvm.loading import (
    agents_of,
    bind_inputs,
    find_agent,
    load_agent,
    load_file,
    load_object,
    validate_inputs,
)

GOOD = """\
from agentvm import agent, tool
from side import SUFFIX

@agent
async def hello(name: str) -> str:
    return "hello " + name + SUFFIX

@agent
async def goodbye(name: str) -> str:
    return "goodbye " + name

@tool
def shout(text): ...

def helper(): ...

NUMBER = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a good file and a module beside it; modules and sys.path are put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    for name in ("flow", "side"):  # another test's
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)
    (tmp_path / "flow.py").write_text(GOOD)
    (tmp_path / "side.py").write_text("SUFFIX = '!'\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


async def test_a_file_is_loaded_like_a_script(folder):
    """Its folder is on sys.path, and the module goes by the file's stem."""
    hello = load_agent("flow.py:hello")
    assert await hello("you") == "hello you!"
    assert hello.ref == "flow:hello"
    assert sys.modules["flow"].__file__ == str(folder / "flow.py")
    assert list(agents_of(sys.modules["flow"])) == ["hello", "goodbye"]
    assert not list(folder.glob("__pycache__/flow*"))


def test_a_module_is_loaded_by_name(folder):
    """The working folder is on sys.path."""
    assert load_agent("flow:goodbye").ref == "flow:goodbye"


def test_a_file_is_loaded_once_and_again_when_changed(folder):
    """Two loads give one object; an edit gives a new one, never stale code."""
    first = load_agent("flow.py:hello")
    assert load_agent(f"{folder}/flow.py:hello") is first
    (folder / "flow.py").write_text(GOOD.replace("hello", "hullo"))
    assert load_agent("flow.py:hullo").name == "hullo"


def test_a_file_named_like_a_module_of_pythons_does_not_replace_it(folder):
    """`json.py` of the user's and the library's live side by side."""
    (folder / "json.py").write_text("MINE = 1\n")
    assert load_file(Path("json.py")).MINE == 1
    assert sys.modules["json"] is json


def test_any_object_can_be_loaded(folder):
    """Scripted doubles are named the same way."""
    value, module = load_object("flow.py:NUMBER")
    assert (value, module.__name__) == (3, "flow")


def test_a_recorded_agent_is_found_by_its_file(folder, monkeypatch):
    """Also from another folder, and when it was `__main__` then."""
    monkeypatch.chdir("/")
    assert find_agent("flow:hello", str(folder / "flow.py")).ref == "flow:hello"
    assert find_agent("__main__:hello", str(folder / "flow.py")).name == "hello"


@pytest.mark.parametrize(
    ("ref", "file", "message"),
    [("gone:hello", "gone.py", "that file is gone"), ("flow:missing", "flow.py", "no agent named 'missing'")],
)
def test_a_recorded_agent_that_is_gone_is_an_error_with_the_remedy(folder, ref, file, message):
    """The run can still be resumed by naming the new place."""
    with pytest.raises(InputError, match=message):
        find_agent(ref, str(folder / file))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("flow.py:helo", "has no agent named 'helo'. Did you mean hello? Its agents: hello, goodbye."),
        ("flow.py", "does not say which agent. Write FILE.py:NAME"),
        ("flow.py:helper", "helper is a plain function, not an agent. Put @agent"),
        ("flow.py:shout", "shout is a tool, not an agent"),
        ("flow.py:NUMBER", "NUMBER is a int, not an agent"),
        ("flwo.py:hello", "There is no file flwo.py"),
        ("flwo.py:hello", "Did you mean flow.py?"),
        ("flow.hello", "There is no module named 'flow.hello'"),
        ("nowhere:hello", "There is no module named 'nowhere'"),
        ("side:hello", "It has no agents: put @agent"),
        ("./:hello", "is a folder"),
        ("..x:hello", "is not the name of a module"),
    ],
)
def test_a_target_that_names_no_agent(folder, target, message):
    """The message says what is there and how to write it."""
    with pytest.raises(InputError) as caught:
        load_agent(target)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("source", "messages"),
    [
        ("x = 1\ndef f(:\n    pass\n", ["bad.py:2: SyntaxError", "    def f(:\n          ^"]),
        ("if True:\nx = 1\n", ["bad.py:2: IndentationError"]),
        (
            "import nothere_at_all\n",
            ["bad.py:1: ModuleNotFound", "Install what provides 'nothere_at_all'"],
        ),
        ("def f():\n    return 1 / 0\nf()\n", ["bad.py:2: ZeroDivisionError", "    return 1 / 0"]),
        ("import sys\nsys.exit(3)\n", ["bad.py:2:", "__main__"]),
        ("import broken\n", ["broken.py:1: SyntaxError"]),
        (
            "from agentvm import agent\n@agent\ndef f(): ...\n",
            ["bad.py:2: ConfigError", "Write `async def f`"],
        ),
    ],
)
@pytest.mark.parametrize("target", ["bad.py:f", "bad:f"])
def test_a_file_that_does_not_load_shows_the_users_line(folder, source, messages, target):
    """File, line and text of the mistake; no frame of the framework."""
    (folder / "bad.py").write_text(source)
    (folder / "broken.py").write_text("def\n")
    with pytest.raises(InputError) as caught:
        load_agent(target)
    assert all(each in str(caught.value) for each in messages)
    assert "Traceback" not in str(caught.value) and "loading.py" not in str(caught.value)
    (folder / "bad.py").write_text(GOOD.replace("hello", "f"))
    sys.modules.pop("bad", None)
    assert load_agent("bad.py:f").name == "f"


class Mood(StrEnum):
    GOOD = "good"


class Options(BaseModel):
    depth: int


@agent
async def sample(
    question: str,
    breadth: int = 3,
    mood: Mood | None = None,
    path: Path = Path(),
    day: date | None = None,
    options: Options | None = None,
    tags: list[str] | None = None,
    free=None,
) -> str:
    return question


def test_texts_become_values_of_the_signatures_types():
    """JSON where the parameter is not a str, plain text where the type takes it."""
    pairs = [
        "question=5",
        "breadth=4",
        "mood=good",
        "path=/tmp/a=b",
        "day=2026-01-02",
        'options={"depth": 2}',
        'tags=["a"]',
        "free=[1]",
    ]
    assert bind_inputs(sample, pairs) == {
        "question": "5",
        "breadth": 4,
        "mood": Mood.GOOD,
        "path": Path("/tmp/a=b"),
        "day": date(2026, 1, 2),
        "options": Options(depth=2),
        "tags": ["a"],
        "free": [1],
    }
    assert bind_inputs(sample, ["question=x", "mood=null", "free=plain"])["free"] == "plain"


def test_a_json_file_gives_inputs_and_a_pair_wins(tmp_path):
    """Types are the JSON forms: an enum by value, a date by text."""
    file = tmp_path / "in.json"
    file.write_text('{"question": "a", "mood": "good", "day": "2026-01-02", "breadth": 1}')
    assert bind_inputs(sample, ["breadth=9"], file) == {
        "question": "a",
        "mood": Mood.GOOD,
        "day": date(2026, 1, 2),
        "breadth": 9,
    }


def test_all_that_is_wrong_is_said_at_once():
    """Wrong, unknown and missing inputs, and the signature."""
    with pytest.raises(InputError) as caught:
        bind_inputs(sample, ["breadth=many", "qestion=x", "mood=awful"])
    message = str(caught.value)
    assert "breadth: 'many' is not a valid int (Input should be a valid integer" in message
    assert "qestion: no such input; did you mean question?" in message
    assert "mood: 'awful' is not a valid" in message and "Input should be 'good'" in message
    assert "missing: question (str)" in message
    assert "sample(question: str, breadth: int = 3, mood: Mood | None = None, " in message


@pytest.mark.parametrize(
    ("pairs", "text", "message"),
    [
        (["question"], None, "write it as NAME=VALUE"),
        (["=x"], None, "write it as NAME=VALUE"),
        ([], "[1]", "a JSON object is needed"),
        ([], "{", "is not JSON"),
        ([], '{"question": 5}', "question: 5 is not a valid str"),
    ],
)
def test_malformed_inputs_are_refused(tmp_path, pairs, text, message):
    """The message shows the form."""
    file = tmp_path / "in.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message):
        bind_inputs(sample, pairs, file if text is not None else None)
    with pytest.raises(InputError, match="No such file"):
        bind_inputs(sample, pairs, tmp_path / "none.json")


def test_values_of_the_right_type_are_passed_on_untouched():
    """The very same objects, and defaults applied."""
    tags, options = ["a"], Options(depth=1)
    got = validate_inputs(sample, ("q",), {"tags": tags, "options": options})
    assert got["tags"] is tags and got["options"] is options
    assert (got["question"], got["breadth"], got["free"]) == ("q", 3, None)
    assert list(got) == list(sample.signature.parameters)


def test_values_pydantic_can_convert_are_converted():
    """As from JSON: a dict to a model, a text to an enum."""
    got = validate_inputs(sample, ("q", "7"), {"options": {"depth": "2"}, "mood": "good"})
    assert (got["breadth"], got["options"], got["mood"]) == (7, Options(depth=2), Mood.GOOD)


class Thing:
    pass


@agent
async def odd(thing: Thing, number: float, *rest: int, **more: str) -> None: ...


@agent
async def unknown_type(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def test_types_pydantic_does_not_know_are_checked_by_class_or_not_at_all():
    """Arbitrary classes by isinstance; an int stays an int for a float, as in Python."""
    thing = Thing()
    got = validate_inputs(odd, (thing, 1, 2, 3), {"a": "b"})
    assert got == {"thing": thing, "number": 1, "rest": (2, 3), "more": {"a": "b"}}
    assert type(got["number"]) is int
    assert validate_inputs(unknown_type, (1,), {}) == {"x": 1}
    with pytest.raises(InputError, match=r"thing: 3 is not a valid .*Thing"):
        validate_inputs(odd, (3, 1), {})
    with pytest.raises(InputError, match=r"rest: \('x',\) is not a valid int"):
        validate_inputs(odd, (thing, 1, "x"), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'question'"),
        (("q",), {"depth": 1}, "unexpected keyword argument 'depth'"),
        (("q", "many"), {}, "breadth: 'many' is not a valid int"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args, kwargs, message):
    """The message has the signature."""
    with pytest.raises(InputError) as caught:
        validate_inputs(sample, args, kwargs)
    assert message in str(caught.value) and "It takes sample(question: str" in str(caught.value)
