"""What hints forecast of the stages after a call, summed up once for all the plans that ask."""

from __future__ import annotations

from typing import Final, NamedTuple

from agentvm_compiler.wire import Hints, Stage


class Later(NamedTuple):
    """What is to come after a call. What it has in common with its siblings is shared out among them."""

    prompts: float = 0.0
    """Prompt tokens of all later calls, its share."""
    outputs: float = 0.0
    """Output tokens of all later calls, its share."""
    prompts_in_a_row: float = 0.0
    """Prompt tokens of one call of each stage: these must be read one after the other."""
    outputs_in_a_row: float = 0.0
    """Output tokens of one call of each stage."""
    longest_in_a_row: float = 0.0
    """Output tokens of the longest call of each stage, expected."""
    tool_seconds: float = 0.0


NOTHING: Final = Later()


def later_of(hints: Hints | None) -> Later:
    """The sums of what hints forecast. O(stages)."""
    if hints is None or not hints.remaining:
        return NOTHING
    calls = [(each, each.times * each.calls / hints.siblings) for each in hints.remaining]
    row = [(each, each.times) for each in hints.remaining]
    return Later(
        sum(count * each.input_tokens for each, count in calls),
        sum(count * each.output_tokens for each, count in calls),
        sum(times * each.input_tokens for each, times in row),
        sum(times * each.output_tokens for each, times in row),
        sum(times * longest(each) for each, times in row),
        sum(times * each.tool_seconds for each, times in row),
    )


def longest(stage: Stage) -> float:
    """Output tokens of the longest of a stage's calls, expected: one of many is near the upper quantile."""
    more = max(0, stage.output_tokens_upper - stage.output_tokens)
    return stage.output_tokens + more * max(0, stage.calls - 1) / (stage.calls + 1)
