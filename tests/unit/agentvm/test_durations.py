"""Durations: what is read, what is refused, how they are shown."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentvm import ConfigError
from agentvm.durations import optional_seconds, readable, seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (30, 30.0),
        (0.25, 0.25),
        ("30", 30.0),
        ("30s", 30.0),
        ("250ms", 0.25),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 1.5 S ", 1.5),
        ("7d", 604800.0),
        ("1w", 604800.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_durations_are_read_as_seconds(value, expected):
    """Numbers, texts with units and timedeltas all become seconds."""
    assert seconds(value) == expected


@pytest.mark.parametrize("value", ["", "soon", "5 parsecs", "-3s", "1e3", "30s!", True, None, [1]])
def test_what_is_no_duration_is_refused_with_examples(value):
    """The message names the option, the value, and durations that would do."""
    with pytest.raises(ConfigError) as caught:
        seconds(value, what="deadline")
    assert f"deadline={value!r} is not a duration" in str(caught.value)
    assert '"30s"' in str(caught.value)


@pytest.mark.parametrize("value", [0, -1, "0s", float("nan"), float("inf"), timedelta(0)])
def test_a_duration_must_be_positive_and_finite(value):
    """A deadline that has passed already is a mistake."""
    with pytest.raises(ConfigError, match="greater than zero"):
        seconds(value)


def test_none_stays_none():
    """No duration is allowed where one is optional."""
    assert optional_seconds(None) is None
    assert optional_seconds("2s") == 2.0


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.0, "0ms"),
        (0.25, "250ms"),
        (0.9999, "1.0s"),
        (3.21, "3.2s"),
        (59.97, "1m 00s"),
        (307, "5m 07s"),
        (7500, "2h 05m"),
        (273600, "3d 04h"),
        (-12, "-12.0s"),
    ],
)
def test_durations_are_shown_short(amount, text):
    """One or two units, whichever say most."""
    assert readable(amount) == text
