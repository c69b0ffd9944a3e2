"""Artifacts that were changed by hand or damaged: refused, or loaded, and nothing else."""

from __future__ import annotations

import json
import math
import random
import re
import typing
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentvm.artifact import load_artifact
from agentvm.export import Home, _Refused, write_artifact
from agentvm_compiler.calls import Agent
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.errors import CompileError, InputError
from agentvm_compiler.ir import content_hash
from tests.unit.compiler.programs import AGENTS


def document(agent: Agent) -> dict[str, Any]:
    """An agent's artifact, its tools imported from the test's own module."""
    home = Home(agent)
    home.name = "a module of its own"
    return home.document()


DOCUMENTS = st.sampled_from([document(each) for each in AGENTS])
TEXT = st.text(alphabet="abc:.", max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["tuple", "import", "union", "generic", "range", "name"]), inner, max_size=2
        )
    ),
    max_leaves=9,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS, st.integers(0, 2**32), JSON)
def test_fuzz_changed_documents(tmp_path: Path, original: dict[str, Any], seed: int, value: Any):
    """Any value in the place of any other, outside the module, gives an agent or a clear error."""
    changed = json.loads(json.dumps(original))
    draws, at = random.Random(seed), changed
    while True:
        places = [
            each
            for each in (at if isinstance(at, dict) else range(len(at)))
            if each not in ("module", "hash")
        ]
        place = draws.choice(places)
        if not isinstance(at[place], dict | list) or not at[place] or draws.random() < 0.1:
            break
        at = at[place]
    at[place] = value
    changed["hash"] = content_hash({key: each for key, each in changed.items() if key != "hash"})
    path = tmp_path / "a.avm.json"
    path.write_text(json.dumps(changed))
    try:
        assert isinstance(load_artifact(path), Agent)
    except (CompileError, InputError) as error:
        assert len(str(error)) > 20


def test_a_changed_file_is_refused(tmp_path):
    """A value changed by hand no longer fits the hash of the file."""
    path = tmp_path / "a.avm.json"
    path.write_text(json.dumps(document(AGENTS[0]) | {"python": "2.7"}))
    with pytest.raises(CompileError, match=r"\$\.hash: it is not that of the content"):
        load_artifact(path)


def test_an_unknown_agent_is_refused(tmp_path):
    """The error lists those there are."""
    path = tmp_path / "a.avm.json"
    path.write_text(json.dumps(document(AGENTS[0])))
    with pytest.raises(InputError, match=r"no agent named 'other'\. Its agents: .*:chain"):
        load_artifact(path, "other")


def test_the_name_of_the_file_is_checked(tmp_path):
    """A file that `agentvm run` would not take for an artifact is not written."""
    with pytest.raises(InputError, match=r"ends in \.json, for example chain\.avm\.json"):
        write_artifact(AGENTS[0], tmp_path / "chain")


class Local(Enum):
    ONE = 1


CARRIED = [
    None, True, 3, -0.0, "é", b"\xff", 1.5, math.inf, 2j, ..., range(1, 9, 2), (1, (2, "x")),
    frozenset({1, (2,)}), re.compile("a+", re.I), HTTPStatus.OK, dict, json.dumps, len, math, list[int],
    dict[str, list[HTTPStatus]], int | None, typing.Union[int, str], typing.Literal["a", 1],  # noqa: UP007
    typing.Annotated[int, "x"], typing.Any, type(None),
]  # fmt: skip


@pytest.mark.parametrize("value", CARRIED, ids=repr)
def test_constants_are_carried(tmp_path, value):
    """A constant comes back as the very value, of the same type."""
    home = Home(AGENTS[0])
    data = {"carried": home._value(value)} if not home._reference(value) else None
    whole = document(AGENTS[0])
    if data is None:
        whole["globals"]["imports"]["carried"] = home._reference(value)
    else:
        whole["globals"]["constants"] |= data
    whole["fingerprints"] |= home.fingerprints
    whole["hash"] = content_hash({key: each for key, each in whole.items() if key != "hash"})
    path = tmp_path / "a.avm.json"
    path.write_text(json.dumps(whole))
    found = compile_agent(load_artifact(path)).namespace.globals["carried"]
    assert (repr(found), type(found)) == (repr(value), type(value))


@pytest.mark.parametrize("value", [[1], {"a": 1}, ({1},), object(), lambda: 1, (Local.ONE, object)], ids=repr)
def test_other_values_are_refused(value):
    """Mutable values, and what only the agent's own file defines, are not carried."""
    home = Home(AGENTS[0])
    home.name = Local.__module__
    with pytest.raises(_Refused):
        home._value(value)
