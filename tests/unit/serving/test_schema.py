"""Schemas in the form engines accept."""

from __future__ import annotations

import json

import pytest

from agentvm_serving.backends.schema import answer_format


def sent(schema):
    wanted = answer_format(schema)
    inner = wanted.response_format["json_schema"]
    return inner["schema"], inner["strict"], wanted.wrapped


INTEGER = {"type": "integer"}


def test_every_object_inside_is_closed():
    """Nested objects and definitions too; data that looks like a schema is left alone."""
    point = {"type": "object", "properties": {"x": INTEGER}, "required": ["x"]}
    schema = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/P"}, "tag": {"enum": [{"type": "object", "properties": {}}]}},
        "required": ["at", "tag"],
        "$defs": {"P": point},
    }
    closed, strict, wrapped = sent(schema)
    assert (strict, wrapped) == (True, False)
    assert closed["$defs"]["P"] == {**point, "additionalProperties": False}
    assert closed["properties"]["tag"] == schema["properties"]["tag"]
    assert "additionalProperties" not in schema["$defs"]["P"]  # the caller's own schema is not changed


def test_properties_may_be_called_like_keywords():
    """A property named `default` or `type` is a property."""
    inner = {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]}
    names = ["default", "type", "required", "properties"]
    closed, strict, _ = sent({"type": "object", "properties": dict.fromkeys(names, inner), "required": names})
    assert strict
    assert {
        name: part["additionalProperties"] for name, part in closed["properties"].items()
    } == dict.fromkeys(names, False)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": INTEGER}},
        {"type": "object", "additionalProperties": INTEGER},
    ],
    ids=["optional", "mapping"],
)
def test_what_strict_mode_forbids_is_not_called_strict(schema):
    """Optional properties and mappings are asked for without strict mode, which has neither."""
    assert sent(schema)[1] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"anyOf": [{"type": "object"}, {"type": "null"}]},
        {"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object"}}},
        {"enum": ["a", "b"]},
        {},
    ],
    ids=["string", "union", "reference", "enum", "anything"],
)
def test_whatever_is_no_plain_object_is_wrapped(schema):
    """The top is always an object; definitions stay where references find them."""
    closed, _, wrapped = sent(schema)
    assert wrapped
    assert closed["type"] == "object"
    assert closed.get("$defs") == schema.get("$defs")


@pytest.mark.parametrize("value", ["é", None, [1, {"value": 2}], 1.5, {"a": []}])
def test_unwrapping_gives_the_value_back(value):
    """Whatever was inside comes out as JSON of its own."""
    text = json.dumps({"value": value})
    assert json.loads(answer_format({}).unwrap(text)) == value
