"""Output lengths by a quantile regression forest over what is known of the prompt.

JITServe, section 4.1: a forest predicts quantiles of the length; here a whole
distribution, `GRID`, at arrival, and as tokens come what is longer than those,
so that nothing is predicted twice. Its features are the prompt's tokens, the
client's limit and the site. Where the forest cannot speak yet, the samples of
the sites do (`Lengths`).

It is trained by a thread of its own on the newest finished requests, and that
thread predicts too: a prediction takes milliseconds, a step must not wait for
it. Until it is there the samples speak. Prompts whose lengths differ by less
than a tenth share a prediction.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from agentvm_compiler.errors import ConfigError

from .lengths import ENOUGH, Distribution, Lengths, _Known

logger = logging.getLogger("vllm.agentvm")

GRID: Final = tuple((number + 0.5) / 64 for number in range(64))
"""Quantiles that stand for a distribution."""
TREES: Final = 300
DEPTH: Final = 150
"""Of the forest (JITServe, section 6.1)."""
LEAF: Final = 10
"""Least finished requests in a leaf: with less the forest learns noise."""
EXAMPLES: Final = 4096
"""Newest finished requests that it learns from."""
EVERY: Final = 512
"""Finished requests after which it learns anew."""
KINDS: Final = 4096
"""Kinds of requests whose prediction is kept."""

Row: TypeAlias = tuple[float, float, float]
"""Features of a request."""
Predict: TypeAlias = Callable[[Sequence[Row]], Sequence[Sequence[float]]]
"""The lengths at `GRID`, for each row."""
Fit: TypeAlias = Callable[[Sequence[Row], Sequence[int]], Predict]


class Kind(NamedTuple):
    """Requests that look alike."""

    site: str
    limit: int | None
    prompt: int
    """Eighths of the logarithm of its tokens."""


class ForestLengths(Lengths):
    """Estimates lengths by a forest, learnt from every request that finishes.

    Args:
        fit: trains a forest.
        every: finished requests after which it is trained anew.
        background: whether a thread trains and predicts; else who asks waits (tests, simulation).
    """

    def __init__(self, fit: Fit, every: int = EVERY, background: bool = True, upper: float = 0.9) -> None:
        super().__init__(upper)
        self._fit = fit
        self._every = every
        self._background = background
        self._predict: Predict | None = None
        self._examples: deque[tuple[Kind, int]] = deque(maxlen=EXAMPLES)
        self._new = 0
        self._codes: Mapping[str, float] = {}
        self._known: Mapping[Kind, Distribution] = {}
        self._asked: OrderedDict[Kind, None] = OrderedDict()
        """Kinds that were asked for, the newest last."""
        self._wanted: set[Kind] = set()
        self._work = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None

    def finished(self, site: str, tokens: int, limit: int | None = None, prompt: int = 0) -> None:
        super().finished(site, tokens, limit, prompt)
        with self._work:
            self._examples.append((kind_of(site, limit, prompt), tokens))
            self._new += 1
        if self._new >= self._every:
            self._call()

    def _known_of(self, site: str, tokens: int, limit: int | None, prompt: int) -> _Known:
        # The prompt counts here, and predictions come in between.
        return self._find(site, tokens, limit, prompt)

    def _speaks(
        self, site: str, tokens: int, limit: int | None, prompt: int
    ) -> tuple[Distribution | None, int]:
        found = self._predicted(kind_of(site, limit, prompt))
        if found is not None and (longer := found.beyond(tokens)) >= ENOUGH:
            return found, longer
        return super()._speaks(site, tokens, limit, prompt)

    def _predicted(self, kind: Kind) -> Distribution | None:
        if self._predict is None:
            return None
        found = self._known.get(kind)
        if found is None and kind not in self._wanted and len(self._wanted) < KINDS:
            with self._work:
                self._wanted.add(kind)
            self._call()
            found = self._known.get(kind)
        return found

    # the thread ------------------------------------------------------------

    def _call(self) -> None:
        """Let what is due be done."""
        if not self._background:
            self.work()
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="agentvm-lengths", daemon=True)
            self._thread.start()
        with self._work:
            self._work.notify_all()

    def _run(self) -> None:
        while True:
            with self._work:
                self._busy = False
                self._work.notify_all()
                self._work.wait_for(self._is_due)
                self._busy = True
            try:
                self.work()
            except Exception:  # an estimate is not worth an engine
                logger.exception("AgentVM: the forest of output lengths failed; the samples speak from here")
                self._predict = None
                return

    def _is_due(self) -> bool:
        return bool(self._wanted) or self._new >= self._every

    def settle(self) -> None:
        """Wait until the thread has done what is due."""
        with self._work:
            self._work.wait_for(lambda: not self._busy and not self._is_due())

    def work(self) -> None:
        """Train if that is due, and predict what is wanted."""
        with self._work:
            due, examples = self._new >= self._every, list(self._examples)
            if due:
                self._new = 0
            wanted, self._wanted = self._wanted, set()
            self._asked.update(dict.fromkeys(wanted))
            while len(self._asked) > KINDS:
                self._asked.popitem(last=False)
        if due:
            sites = sorted({kind.site for kind, _ in examples})
            self._codes = {site: float(code) for code, site in enumerate(sites)}
            self._predict = self._fit(
                [self._row(kind) for kind, _ in examples], [each for _, each in examples]
            )
            wanted = set(self._asked)  # by the new forest
        if self._predict is None or not wanted:
            return
        kinds = sorted(wanted & self._asked.keys(), key=str)
        rows = self._predict([self._row(kind) for kind in kinds])
        news = {kind: Distribution(map(round, row)) for kind, row in zip(kinds, rows, strict=True)}
        # Replaced as a whole: the engine's thread reads it meanwhile.
        self._known = {kind: each for kind, each in {**self._known, **news}.items() if kind in self._asked}

    def _row(self, kind: Kind) -> Row:
        return kind.prompt / 8, math.log2(1 + (kind.limit or 0)), self._codes.get(kind.site, -1.0)


def kind_of(site: str, limit: int | None, prompt: int) -> Kind:
    """The kind of a request."""
    return Kind(site, limit, round(8 * math.log2(1 + prompt)))


def fit_forest(rows: Sequence[Row], lengths: Sequence[int]) -> Predict:
    """Train a quantile regression forest (Meinshausen, 2006)."""
    from quantile_forest import RandomForestQuantileRegressor

    forest = RandomForestQuantileRegressor(
        n_estimators=TREES, max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0
    )
    forest.fit(list(rows), list(lengths))

    def predict(asked: Sequence[Row]) -> Sequence[Sequence[float]]:
        found: Sequence[Sequence[float]] = forest.predict(list(asked), quantiles=list(GRID)).tolist()
        return found

    return predict


def lengths_named(name: str) -> Lengths:
    """An estimator: `quantile` or `forest`.

    Raises:
        ConfigError: there is none of that name, or the forest is not installed; says what to do.
    """
    if name == "quantile":
        return Lengths()
    if name != "forest":
        raise ConfigError(f"no estimator of lengths is called {name!r}. Choose one of: forest, quantile")
    try:
        import quantile_forest  # noqa: F401
    except ImportError:
        raise ConfigError("the forest needs a package. Install it: pip install 'agentvm[forest]'") from None
    return ForestLengths(fit_forest)
