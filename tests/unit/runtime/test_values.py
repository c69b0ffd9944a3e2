"""Values: what comes back from bytes, what is refused, what keys and copies mean."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import math
import pathlib
import random
import re
import struct
import sys
import threading
import types
import uuid
import zlib
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import numpy
import pydantic
import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentvm_runtime.errors import StoreError, UnstorableValue
from agentvm_runtime.values import copy_value, decode, digest, encode, key_digest

T = TypeVar("T")


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: str = "y"


@dataclasses.dataclass
class Note:
    text: str
    tags: list[str] = dataclasses.field(default_factory=list)
    parent: Note | None = None

    @functools.cached_property
    def words(self) -> Iterator[str]:
        return iter(self.text.split())


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    y: tuple[int, ...] = ()


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    notes: list[str] = []
    _secret: int = pydantic.PrivateAttr(default=7)

    @pydantic.model_validator(mode="after")
    def never_twice(self) -> Model:
        assert self.name != "forbidden"
        return self


class Box(pydantic.BaseModel, Generic[T]):
    content: T


class HttpError(Exception):
    def __init__(self, status: int, *, body: dict[str, Any]) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body


class NoSuchFile(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "no such file", path)


class Bare:
    """A class without a codec."""


class Words(list[str]):
    """A subclass of a container."""


def helper() -> None:
    """A module-level function."""


VALUES: list[Any] = [
    None, True, False, 0, -1, 255, -256, 2**63, -(10**50), 1.5, math.inf, -0.0, 1e-320,
    "", "é" * 300, "\ud800", "\ud83d\ude00", "\0",
    b"", b"\xff" * 254, bytearray(b"ab"),
    [], [1, [2, [3]]], (), (1,), ((), ((),)), {}, {1: "int", "1": "str", (1, 2): "tuple", None: "none"},
    set(), {1, 2, 3}, {"a", 1, (2, None)}, frozenset({frozenset({1}), frozenset()}),
    1 + 2j, complex(0.0, -0.0),
    Colour.RED, Level.LOW, Mode.READ, Mode.READ | Mode.WRITE, Mode(0), [Colour.RED, "red", Level.LOW, 1],
    dt.datetime(2026, 1, 2, 3, 4, 5, 6),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"), fold=1),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.date(2026, 1, 2),
    dt.time(1, 2, 3, 4, fold=1), dt.timedelta(-1, 2, 3),
    dt.timezone(dt.timedelta(hours=2), "CEST"), decimal.Decimal("1.20"), decimal.Decimal("sNaN"),
    decimal.Decimal("-0"),
    fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.Path("/a/b"), pathlib.PurePosixPath("a"),
    pathlib.PureWindowsPath("c:\\a"), range(1, 9, 3), slice(1, [2], None),
    collections.deque([1, 2, 3], 3),
    collections.Counter("abca"), collections.OrderedDict([("b", 1), ("a", 2)]),
    collections.defaultdict(list, {1: [2]}),
    collections.defaultdict(None, {1: 2}), types.SimpleNamespace(a=1, b=[2]), list[int], dict[str, list[int]],
    Note("a", ["b"], Note("c")), Frozen(1, (2, 3)), Point(1), Point(1, "z"), [Note("a")] * 2,
    Model(name="a", notes=["b"], more=1), Model(name="a"), Box[int](content=1), Box[list[int]](content=[1]),
    int, Colour, Note, Model, Box[int], type(None), ValueError, helper, len, re.compile, ..., NotImplemented,
    numpy.arange(6, dtype="int16").reshape(2, 3), numpy.asfortranarray(numpy.eye(2)),
    numpy.zeros((0, 3)), numpy.array(3.0),
    numpy.array([[1, 2], "x", None], dtype=object), numpy.array(["a", "bc"]),
    numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    numpy.float32(1.5), numpy.int64(-3), numpy.bool_(True), numpy.str_("abc"), numpy.datetime64("2026-01-01"),
]  # fmt: skip


def look(value: Any) -> str:
    """How a value prints; a set's order of iteration is nobody's promise."""
    return repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)


@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}-{v!r}"[:40])
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    """Type and content survive; encoding again gives the same bytes; a copy is like it too."""
    back, copy = decode(encode(value)), copy_value(value)
    assert type(back) is type(value) and type(copy) is type(value)
    assert look(back) == look(value) == look(copy)
    assert encode(back) == encode(value) == encode(copy)
    assert key_digest(back) == key_digest(value) == key_digest(copy)


def test_not_a_number_keeps_its_bits() -> None:
    """NaN comes back with sign and payload."""
    odd = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]
    assert struct.pack(">d", decode(encode(odd))).hex() == "fff8000000000123"


_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.binary()
    | st.text(st.characters(exclude_categories=())) | st.decimals() | st.fractions() | st.uuids()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC)) | st.dates() | st.times() | st.timedeltas()
    | st.sampled_from([Colour.RED, Level.LOW, Mode.READ, ..., Note, helper])
)  # fmt: skip
_keys = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())


def _containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(parts)
        | st.lists(parts).map(tuple)
        | st.dictionaries(_keys, parts)
        | st.sets(_keys)
        | st.frozensets(_keys)
        | st.builds(Note, st.text(), st.lists(st.text()))
        | st.builds(Frozen, parts)
        | st.builds(lambda p: Box[Any](content=p), parts)
        | st.builds(lambda a, b: HttpError(a, body={"b": b}), st.integers(), parts)
    )


values = st.recursive(_scalars, _containers, max_leaves=20)


@given(values)
def test_any_value_comes_back(value: Any) -> None:
    """Round trips keep the bytes, the key and the look, whatever the value."""
    data = encode(value)
    back = decode(data)
    assert encode(back) == data
    assert key_digest(back) == key_digest(value)
    if "set(" not in repr(value) and "{" not in repr(value):
        assert repr(back) == repr(value)


@given(values, st.data())
def test_damaged_bytes_are_an_error_that_says_so(value: Any, data: st.DataObject) -> None:
    """One flipped bit, or a missing end, is noticed."""
    raw = bytearray(encode(value))
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    cut = data.draw(st.integers(0, len(raw) - 1))
    flipped = bytearray(raw)
    flipped[at // 8] ^= 1 << at % 8
    for bad in (bytes(flipped), bytes(raw[:cut])):
        with pytest.raises(StoreError):
            decode(bad)


@given(st.binary(max_size=60) | values.map(lambda v: encode(v)[1:-4]), st.randoms(use_true_random=False))
def test_forged_bytes_never_crash(body: bytes, rng: random.Random) -> None:
    """Bytes with a right checksum and nonsense inside decode to something or are a StoreError."""
    forged = bytearray(body)
    for _ in range(3):
        if forged:
            forged[rng.randrange(len(forged))] = rng.choice(b"NTFifsbBldtSZrcygo\x00\x01\xff")
    data = b"\x01" + bytes(forged)
    with contextlib.suppress(StoreError):
        decode(data + zlib.crc32(data).to_bytes(4, "big"))


def _forge(body: bytes) -> bytes:
    data = b"\x01" + body
    return data + zlib.crc32(data).to_bytes(4, "big")


def test_decoding_imports_nothing() -> None:
    """A module the bytes name stays unimported, and the error says how to go on."""
    sys.modules.pop("this", None)
    with pytest.raises(StoreError, match="import this before resuming"):
        decode(_forge(b"cs\x04thiss\x01s"))
    assert "this" not in sys.modules


def test_a_class_must_be_of_the_kind_recorded() -> None:
    """Bytes cannot have an arbitrary class instantiated, nor called."""
    for kind in (b"dataclass", b"enum", b"model", b"exception", b"namedtuple"):
        with pytest.raises(StoreError, match="is not a"):
            decode(_forge(b"o" + bytes([len(kind)]) + kind + b"cs\x0asubprocesss\x05Popen\x00\x00"))


def test_a_renamed_class_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that has gone since says which, and what to do."""
    data = encode(Note("a"))
    monkeypatch.delattr(sys.modules[__name__], "Note")
    with pytest.raises(StoreError, match=r"has no Note any more.*before resuming"):
        decode(data)


def test_a_new_field_takes_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataclass may gain fields that have defaults; others are an error with the remedy."""
    data = encode(Frozen(1))

    @dataclasses.dataclass(frozen=True, slots=True)
    class Grown:
        x: int
        y: tuple[int, ...]
        z: str = "new"

    Grown.__qualname__ = "Frozen"
    monkeypatch.setattr(sys.modules[__name__], "Frozen", Grown)
    assert decode(data) == Grown(1, (), "new")

    @dataclasses.dataclass
    class Demanding:
        x: int
        y: tuple[int, ...]
        z: str

    monkeypatch.setattr(sys.modules[__name__], "Frozen", Demanding)
    with pytest.raises(StoreError, match=r"gained the field 'z'.*give it a default"):
        decode(data)


def test_a_newer_format_asks_for_a_newer_version() -> None:
    """The format's number is checked before anything is read."""
    data = b"\x02N" + b"\0" * 2
    with pytest.raises(StoreError, match=r"format 2.*newer AgentVM"):
        decode(data + zlib.crc32(data).to_bytes(4, "big"))


def test_shared_parts_stay_shared() -> None:
    """Two names for one list are still one list after a round trip and after a copy."""
    shared = [1]
    value = {"a": shared, "b": (shared, Note("n", shared))}  # type: ignore[arg-type]
    for again in (decode(encode(value)), copy_value(value)):
        assert again["a"] is again["b"][0] is again["b"][1].tags
        assert again["a"] is not shared


def test_cycles_survive() -> None:
    """Lists, dicts, tuples and instances may contain themselves."""
    ring: list[Any] = [1]
    ring.append((ring, {"self": ring}))
    note = Note("a")
    note.parent = note
    for again in (decode(encode(ring)), copy_value(ring)):
        assert again[1][0] is again and again[1][1]["self"] is again
    for again in (decode(encode(note)), copy_value(note)):
        assert again.parent is again
    assert key_digest(ring) == key_digest(decode(encode(ring)))


def test_values_copied_together_stay_together() -> None:
    """A tuple of values is copied as one, so what they share they still share."""
    shared: list[int] = []
    a, b = copy_value(({"x": shared}, shared))
    a["x"].append(1)
    assert b == [1] and shared == []


def test_deep_sharing_costs_no_more_than_its_size() -> None:
    """A value that doubles by sharing at each of 100 levels is encoded, hashed and copied at once."""
    for start in ((), []):
        value: Any = start
        for _ in range(100):
            value = (value, value) if isinstance(start, tuple) else [value, value]
        assert len(encode(value)) < 1000
        assert key_digest(decode(encode(value))) == key_digest(value)
        copy_value(value)


def test_what_cannot_change_is_not_copied() -> None:
    """Immutable values, functions, classes, sentinels and clients are passed through."""
    lock, sentinel, bare, words = threading.Lock(), object(), Bare(), Words()
    for value in (1, "a", (1, ("b",)), Colour.RED, helper, Note, math, lock, sentinel, bare, words, Point(1)):
        assert copy_value(value) is value
        assert copy_value([value])[0] is value


def test_a_local_class_is_copied_though_it_cannot_be_stored() -> None:
    """Copying needs no name to find a class by."""

    @dataclasses.dataclass
    class Local:
        items: list[int]

    one = Local([1])
    two = copy_value(one)
    two.items.append(2)
    assert (one, two) == (Local([1]), Local([1, 2]))


def test_an_exception_comes_back_without_its_constructor() -> None:
    """Class, arguments, attributes, cause, suppression and notes are kept."""
    error = HttpError(404, body={"why": ["gone"]})
    error.add_note("seen at noon")
    error.__cause__ = NoSuchFile("/x")
    for again in (decode(encode(error)), copy_value(error)):
        assert type(again) is HttpError and again is not error
        assert (str(again), again.status, again.body) == ("status 404", 404, {"why": ["gone"]})
        assert again.__notes__ == ["seen at noon"]
        assert again.__suppress_context__
        assert (again.__cause__.errno, again.__cause__.filename) == (2, "/x")
        assert str(again.__cause__) == "[Errno 2] no such file: '/x'"


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"abc", 1, 2, "bad"),
        StopAsyncIteration(1),
        SystemExit(3),
        KeyError("k"),
        ImportError("no", name="n", path="p"),
        SyntaxError("bad", ("f.py", 1, 2, "text")),
        ExceptionGroup("two", [ValueError(1), ExceptionGroup("in", [KeyError("k")])]),
    ],
    ids=lambda e: type(e).__name__,
)
def test_builtin_exceptions_keep_what_they_hide(error: BaseException) -> None:
    """Members that live outside `__dict__` come back: messages and members are the same."""
    again = decode(encode(error))
    assert type(again) is type(error) and str(again) == str(error)
    assert repr(again.args) == repr(error.args)
    members = ("code", "name", "path", "lineno", "text", "object", "start", "reason", "exceptions")
    assert [repr(getattr(again, m, None)) for m in members] == [
        repr(getattr(error, m, None)) for m in members
    ]


def test_a_model_is_rebuilt_without_validation() -> None:
    """Private attributes, extras and the set of given fields come back; no validator runs."""
    model = Model(name="a", more=[1])
    model.name = "forbidden"
    model._secret = 8
    again = decode(encode(model))
    assert (again, again._secret, again.model_extra) == (model, 8, {"more": [1]})
    assert again.model_fields_set == {"name", "more"}


class Rooted(pydantic.RootModel[list[str]]):
    pass


def test_a_root_model_comes_back_with_nothing_more() -> None:
    """What pydantic keeps beside the root is no part of its dictionary."""
    rooted = Rooted(["a"])
    for again in (decode(encode(rooted)), copy_value(rooted)):
        assert vars(again) == vars(rooted)
        assert encode(again) == encode(rooted)


class Picky(pydantic.BaseModel):
    number: int
    text: str = ""

    @pydantic.field_validator("text")
    def dislike(cls, text: str) -> str:
        if text == "custom":
            raise pydantic_core.PydanticCustomError("dislike", "not {what} {{", {"what": "this"})
        raise ValueError(f"never {text}")


@pytest.mark.parametrize("given", ['{"number": "x", "text": "y"}', '{"text": "custom"}', '{"number": 1'])
def test_a_validation_error_comes_back(given: str) -> None:
    """What pydantic says of a model's bad answer survives: message and details."""
    with pytest.raises(pydantic.ValidationError) as caught:
        Picky.model_validate_json(given)
    again = decode(encode(caught.value))
    assert type(again) is pydantic.ValidationError
    assert (str(again), repr(again.errors())) == (str(caught.value), repr(caught.value.errors()))
    assert key_digest(again) == key_digest(caught.value)


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(hide_input_in_errors=True)
    numbers: list[int]


@pytest.mark.parametrize(
    "check", [Strict.model_validate, lambda _: Strict.model_validate_json('{"numbers": {}}')]
)
def test_a_validation_error_shows_what_it_showed(check: Callable[[Any], Any]) -> None:
    """It says no more of the input than it did, in the words of what was validated, and has no arguments."""
    with pytest.raises(pydantic.ValidationError) as caught:
        check({"numbers": {}})
    again = decode(encode(caught.value))
    assert (str(again), again.args) == (str(caught.value), ())


def test_a_field_that_was_deleted_does_not_come_back() -> None:
    """One that the class has gained since the value was recorded has its default; a deleted one has not."""
    note = Note("a")
    del note.tags
    for again in (decode(encode(note)), copy_value(note)):
        assert not hasattr(again, "tags")
        assert encode(again) == encode(note)


def test_a_cached_property_is_computed_again() -> None:
    """What an instance remembers of its own computations is not part of the value."""
    note = Note("a b")
    assert list(note.words) == ["a", "b"]
    assert list(decode(encode(note)).words) == ["a", "b"]


UNSTORABLE: list[tuple[Callable[[], Any], str]] = [
    (lambda: {"items": [0, iter([])]}, r"result\['items'\]\[1\]: an iterator cannot.*; make it a list"),
    (lambda: Note("a", [object()]), r"result\.tags\[0\]: a bare object\(\) cannot"),  # type: ignore[list-item]
    (lambda: Model.model_construct(name=threading.Lock()), r"result\.name: a _thread\.lock cannot be stored"),
    (lambda: HttpError(1, body={"r": re.match("a", "a")}), r"result\.body\['r'\]: a match object.*groups"),
    (lambda: (1, {2: {3: {}.keys()}}), r"result\[1\]\[2\]\[3\]: a dict_keys cannot.*make it a list"),
    (lambda: [Bare()], r"result\[0\]: a .*Bare cannot.*make its class a dataclass or a pydantic model"),
    (lambda: Words(), r"Words cannot be stored; make it a plain list"),
    (lambda: lambda: 1, r"a lambda cannot be found again; define it at module level"),
    (lambda: [type("Local", (), {})], r"Local is not this class.*bind it at module level"),
    (lambda: collections.defaultdict(helper), r"factory is not a builtin type"),  # type: ignore[arg-type]
    (lambda: [].append, r"result: "),
    (lambda: Note("a").__eq__, r"a bound method cannot"),
    (lambda: math, r"the module math cannot"),
    (lambda: memoryview(b""), r"make it bytes"),
    (lambda: numpy.ma.masked_array([1]), r"MaskedArray cannot be stored"),
    (lambda: {Point(1): [{1, Bare()}]}, r"Bare cannot be stored"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "says"), UNSTORABLE)
def test_what_has_no_codec_is_refused_by_path(make: Callable[[], Any], says: str) -> None:
    """The error names the part, why, and what to use instead; keys refuse alike."""
    for refuse in (encode, key_digest):
        with pytest.raises(UnstorableValue, match=says):
            refuse(make(), name="result")


def test_a_local_class_is_refused() -> None:
    """What is defined in a function cannot be found by another process."""

    class Local(ValueError):
        pass

    with pytest.raises(UnstorableValue, match=r"the local class Local.*define it at module level"):
        encode(Local("a"))


def test_nesting_without_end_is_refused() -> None:
    """Too deep is an UnstorableValue, not a RecursionError."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    for refuse in (encode, key_digest):
        with pytest.raises(UnstorableValue, match="too deeply"):
            refuse(value)


def test_what_was_written_from_a_shallow_stack_is_read_from_a_deep_one() -> None:
    """Decoding does not depend on how deep its caller is."""
    value: list[Any] = []
    for _ in range(300):
        value = [value]
    data = encode(value)

    def descend(levels: int) -> Any:
        return decode(data) if levels == 0 else descend(levels - 1)

    assert encode(descend(sys.getrecursionlimit() - 400)) == data


def test_a_dict_keeps_its_order_and_keys_ignore_it() -> None:
    """Order is part of the stored value but not of the key."""
    one, two = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert list(decode(encode(two))) == ["b", "a"]
    assert encode(one) != encode(two) and key_digest(one) == key_digest(two)
    ordered = collections.OrderedDict(one), collections.OrderedDict(two)
    assert key_digest(ordered[0]) != key_digest(ordered[1])


def test_keys_ignore_identity() -> None:
    """One list twice and two equal lists have one key."""
    shared = [1]
    assert key_digest([shared, shared]) == key_digest([[1], [1]])
    assert key_digest(("a" * 3, {1: shared})) == key_digest(("aaa", {1: [1]}))


def test_keys_tell_apart_what_code_can_tell_apart() -> None:
    """Values that compare equal but behave differently have different keys."""
    alike = [
        1,
        1.0,
        True,
        "1",
        b"1",
        [1],
        (1,),
        {1},
        frozenset({1}),
        {1: None},
        Level.LOW,
        0.0,
        -0.0,
        Colour.RED,
        "red",
    ]
    assert len({key_digest(v) for v in alike}) == len(alike)
    assert key_digest([["a"], []]) != key_digest([[], ["a"]]) != key_digest([["a", []]])


def test_sets_have_one_encoding() -> None:
    """The order of a set's elements, which varies by process, does not reach the bytes."""
    one = {("a", 1), None, 3, "x", Frozen(1), Frozen(2)}
    two = {Frozen(2), "x", None, Frozen(1), 3, ("a", 1)}
    assert encode(one) == encode(two)
    assert key_digest(one) == key_digest(two)


def test_a_digest_is_a_fixed_function_of_the_bytes() -> None:
    """Digests and encodings are for ever: other versions must find what this one stored."""
    assert (
        encode(["a", 1]).hex()
        == "016c02730161690101" + zlib.crc32(bytes.fromhex("016c02730161690101")).to_bytes(4, "big").hex()
    )
    assert digest(b"abc") == "384264f676f39536840523f284921cdc68b6846b"
    assert key_digest({"a": 1}) == key_digest({"a": 1})


def test_a_script_and_its_import_name_the_same_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of `__main__` is recorded under the script's name and found both ways."""
    main = types.ModuleType("__main__")
    main.__file__ = "/somewhere/my_agent.py"

    @dataclasses.dataclass
    class Hit:
        url: str

    Hit.__module__, Hit.__qualname__ = "__main__", "Hit"
    main.Hit = Hit  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "__main__", main)
        data = encode(Hit("x"))
        assert b"my_agent" in data and b"__main__" not in data
        assert decode(data) == Hit("x")
        key = key_digest(Hit("x"))
    with monkeypatch.context() as patch:
        imported = types.ModuleType("my_agent")
        Hit.__module__ = "my_agent"
        imported.Hit = Hit  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "my_agent", imported)
        assert encode(Hit("x")) == data and key_digest(Hit("x")) == key
        assert decode(data) == Hit("x")


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    step: str


def test_a_frozen_dataclass_may_be_an_exception():
    """An exception whose class refuses assignments is stored and copied like any other."""
    error = FrozenError("a")
    for again in (decode(encode(error)), copy_value(error)):
        assert (type(again), again.step, again.args) == (FrozenError, "a", ("a",))
