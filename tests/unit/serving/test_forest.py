"""Output lengths by a forest: what is learnt, when, and what speaks meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import pytest

from agentvm_compiler.errors import ConfigError
from agentvm_serving.estimate import forest as module
from agentvm_serving.estimate.forest import EXAMPLES, GRID, ForestLengths, fit_forest, kind_of, lengths_named
from agentvm_serving.estimate.lengths import Length, Lengths


class Fitted:
    """Predicts, for a prompt of 2**n tokens, lengths spread evenly up to 100 n."""

    def __init__(self) -> None:
        self.examples: list[int] = []
        self.asked: list[int] = []

    def __call__(self, rows: Sequence[module.Row], lengths: Sequence[int]) -> module.Predict:
        self.examples.append(len(rows))
        return self.predict

    def predict(self, rows: Sequence[module.Row]) -> list[list[float]]:
        self.asked.append(len(rows))
        return [[100 * prompt * q for q in GRID] for prompt, _, _ in rows]


def learnt(fit: module.Fit, count: int) -> ForestLengths:
    found = ForestLengths(fit, every=10, background=False)
    for _ in range(count):
        found.finished("a", 7, prompt=15)
    return found


def test_samples_speak_until_the_forest_is_trained():
    """And a site's samples are learnt all the while."""
    fit = Fitted()
    found = learnt(fit, 9)
    assert found.of("a", prompt=15) == Length(7, 7)
    assert fit.examples == []
    found.finished("a", 7, prompt=15)
    assert fit.examples == [10]
    assert found.of("a", prompt=15) == Length(197, 359)


def test_a_prediction_is_made_once_for_requests_that_look_alike():
    """And again by each new forest."""
    fit = Fitted()
    found = learnt(fit, 10)
    for _ in range(5):
        found.of("a", prompt=1000)
        found.chance("a", 3, 50, prompt=1001)
    assert fit.asked == [1]
    found.of("b", prompt=1000)
    for _ in range(10):
        found.finished("a", 7, prompt=15)
    found.of("a", prompt=1000)
    assert (fit.examples, fit.asked) == ([10, 20], [1, 1, 2])


def test_tokens_so_far_refine_a_prediction():
    """Of the distribution what is longer; beyond it the samples speak."""
    found = learnt(Fitted(), 10)
    assert found.chance("a", 0, 200, prompt=15) == pytest.approx(0.5, abs=0.02)
    assert found.chance("a", 200, 300, prompt=15) == pytest.approx(0.5, abs=0.04)
    assert found.of("a", 300, limit=350, prompt=15).upper == 350
    assert found.of("a", 5000, prompt=15) == Lengths().of("", 5000)


def test_what_is_kept_is_bounded(monkeypatch):
    """Examples and predictions, the newest."""
    monkeypatch.setattr(module, "KINDS", 5)
    found = learnt(Fitted(), 10)
    for number in range(50):
        found.of(f"s{number}", prompt=15)
    assert set(found._known) == {kind_of(f"s{number}", None, 15) for number in range(45, 50)}
    for _ in range(EXAMPLES + 20):
        found.finished("a", 3)
    assert len(found._examples) == EXAMPLES


def test_a_thread_trains_and_predicts():
    """Nobody waits for it: while it is at work the samples speak."""
    begun, go = threading.Event(), threading.Event()
    fitted = Fitted()

    def fit(rows, lengths):
        begun.set()
        go.wait(30)
        return fitted.predict

    found = ForestLengths(fit, every=10)
    for _ in range(10):
        found.finished("a", 7, prompt=15)
    assert begun.wait(30)
    assert found.of("a", prompt=15) == Length(7, 7)
    go.set()
    found.settle()
    assert found.of("a", prompt=15) == Length(7, 7)  # but now a prediction is wanted
    found.settle()
    assert found.of("a", prompt=15) == Length(197, 359)
    assert fitted.asked == [1]


def test_a_forest_that_fails_leaves_the_samples(caplog):
    """An estimate is not worth an engine."""

    def fit(rows, lengths):
        raise MemoryError("no room")

    found = ForestLengths(fit, every=10)
    for _ in range(10):
        found.finished("a", 7, prompt=15)
    assert found._thread is not None
    found._thread.join(30)
    assert found.of("a", prompt=15) == Length(7, 7)
    assert "the samples speak" in caplog.text


def test_an_estimator_has_a_name(monkeypatch):
    """What is not installed says how to install it."""
    assert type(lengths_named("quantile")) is Lengths
    with pytest.raises(ConfigError, match="Choose one of: forest, quantile"):
        lengths_named("oracle")
    monkeypatch.setitem(__import__("sys").modules, "quantile_forest", None)
    with pytest.raises(ConfigError, match=r"pip install 'agentvm\[forest\]'"):
        lengths_named("forest")


def test_a_real_forest_finds_what_a_site_hides():
    """Short prompts have short answers, long ones long: one site, two distributions."""
    pytest.importorskip(
        "quantile_forest", reason="quantile-forest is not installed: pip install 'agentvm[forest]'"
    )
    draws = random.Random(1)
    found = ForestLengths(fit_forest, every=400, background=False)
    for _ in range(400):
        long = draws.random() < 0.5
        found.finished(
            "a", draws.randrange(200, 300) if long else draws.randrange(10, 30), None, 1000 if long else 50
        )
    short, long = found.of("a", prompt=50), found.of("a", prompt=1000)
    assert 10 <= short.expected <= short.upper <= 30
    assert 200 <= long.expected <= long.upper <= 300
    assert found.chance("a", 0, 100, prompt=50) == 1
    assert found.chance("a", 0, 100, prompt=1000) == 0
    assert type(lengths_named("forest")) is ForestLengths
