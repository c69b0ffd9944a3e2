"""What several names refer to is changed through one of them, in every way that copies could get wrong."""

from __future__ import annotations

import pytest

from agentvm_compiler.compile import compile_agent
from agentvm_compiler.ir import Kind

from . import shared
from .crash import assert_resumes, events_of_a_whole_run
from .harness import Case, model, observe_compiled, observe_plain

CASES = [Case(shared, number) for number in range(len(shared.CASES))]
COMPILED = (
    *("plan", "two_names", "dupes", "swap_in_loop", "branches", "slices", "tree", "tree_await", "temp_part"),
    *("temp_if", "enum_pairs", "dict_values", "setdefault", "default_arg", "while_list", "store_then_mutate"),
    *("unbound_member", "print_effect", "del_member", "gather_family", "store_by_helper", "identity"),
    *("member_store", "helper_first", "elements", "tuples", "two_containers", "map_pairs", "nested_dict"),
)
"""Those in which all that is shared is copied together; in the others something is traced."""


@pytest.mark.parametrize("case", CASES, ids=[case.agent.fn.__name__ for case in CASES])
async def test_what_is_shared_stays_shared(case):
    """The graph gives what plain Python gives, in whatever order answers come and wherever it is stopped."""
    plain = await observe_plain(case, model(case))
    for seed in (None, 1, 2):
        compiled = await observe_compiled(case, model(case, seed))
        assert compiled.visible == plain.visible
    for point in range(await events_of_a_whole_run(case) + 1):
        await assert_resumes(case, point, plain.outcome, plain.log)


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_copied_together_is_compiled(name):
    """No part of these agents is traced."""
    program = compile_agent(getattr(shared, name)).program
    assert all(node.kind is not Kind.TRACED for node in program.body.walk())
