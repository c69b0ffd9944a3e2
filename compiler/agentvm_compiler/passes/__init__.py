"""Passes: pure functions from verified IR to verified IR, one file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set

from agentvm_compiler.errors import InputError
from agentvm_compiler.ir import Module
from agentvm_compiler.verify import Sound, verify

from .common import common
from .dead import dead
from .fold import Constant, Fold
from .order import order
from .prefix import prefix

Pass = Callable[[Module], Module]

OPTIONAL = ("fold", "common", "dead", "prefix")
"""The passes that can be left out, in the order they run; `order` comes last and always."""


def pipeline(
    skip: Set[str] = frozenset(), constants: Mapping[str, Constant] | None = None
) -> Iterator[tuple[str, Pass]]:
    """The passes by name, in the order they run.

    Args:
        constants: module constants of the program, for `fold`.

    Raises:
        InputError: `skip` names something that is not a pass, or cannot be left out.
    """
    unknown = sorted(skip - set(OPTIONAL))
    if unknown:
        raise InputError(
            f"No pass that can be left out is named '{unknown[0]}'. There are {', '.join(OPTIONAL)}."
        )
    passes: dict[str, Pass] = {
        "fold": Fold(constants or {}),
        "common": common,
        "dead": dead,
        "prefix": prefix,
    }
    yield from ((name, passes[name]) for name in OPTIONAL if name not in skip)
    yield "order", order


def steps(
    module: Module, skip: Set[str] = frozenset(), constants: Mapping[str, Constant] | None = None
) -> Iterator[tuple[str, Module]]:
    """The module as lowered and after each pass, verified each time."""
    sound: Sound = {}
    yield "lowering", verify(module, "lowering", sound)
    for name, each in pipeline(skip, constants):
        before, module = module, each(module)
        yield name, module if module is before else verify(module, name, sound)


def optimise(
    module: Module, skip: Set[str] = frozenset(), constants: Mapping[str, Constant] | None = None
) -> Module:
    """Run the pipeline, verifying before and after each pass."""
    *_, (_, module) = steps(module, skip, constants)
    return module
