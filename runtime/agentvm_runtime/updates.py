"""Updates: what a scheduler is told of model calls under way as more is known of their run.

Hints go with each call. While a call waits or runs, regions unfold (the items of a
map are there, so that what follows is known better), siblings end, and deadlines
are brought forward, or missed and then given up. What has changed is gathered for a moment and
told in one message, and so is asked what the scheduler noted of calls that have
ended, which is journaled.

None of it ever fails a run: a scheduler that cannot be reached is left alone for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import anyio

from agentvm_compiler.passes.stages import summarised
from agentvm_compiler.wire import CallRecord, Hints, HintsChange

from .errors import Halt
from .limits import Limit, due_of, limits
from .ports import CallScheduler
from .records import CALLS, Event, EventKind

if TYPE_CHECKING:
    from .asking import Place
    from .frames import Frame

logger = logging.getLogger(__name__)

PAUSE: Final = 0.05
"""Seconds for which changes are gathered: a run sends no more than twenty messages of a kind in one."""
MOST: Final = 64
"""Calls in one message, so that the engine's steps do not wait for it."""
LOOKED: Final = 512
"""Calls looked at before others have their turn."""
PATIENCE: Final = 10.0
"""Seconds a message may take, and for which a scheduler that failed is left alone."""
LAST: Final = 0.25
"""Seconds for which the end of a run waits for what the scheduler noted of its last calls."""


@dataclass(slots=True, eq=False)
class Asked:
    """A model call under way."""

    place: Place
    hints: Hints
    """As the scheduler was told last."""
    wanted: str | None = None
    """The class that the call itself asks for."""
    until: float | None = None
    """Of the call's own timeout, Unix seconds."""
    around: tuple[Limit, ...] = field(default_factory=limits.get)

    def deadline(self) -> float | None:
        """When it should be done, by what is known now: Unix seconds."""
        return min((each for each in (due_of(self.around), self.until) if each is not None), default=None)

    def run_deadline(self) -> float | None:
        """When the whole run should be done, by what is known now: Unix seconds."""
        return self.around[0].at if self.around else None  # the run's own limit is the outermost

    def changes(self, unfolded: bool) -> dict[str, Any]:
        """What the scheduler has not been told.

        Args:
            unfolded: whether the forecast may have changed.
        """
        told = self.hints
        now: dict[str, Any] = {}
        siblings = self.place.siblings.count if self.place.siblings is not None else 1
        # By halves: of many siblings, the end of one says next to nothing to each of the others.
        if 2 * siblings <= told.siblings:
            now["siblings"] = siblings
        if (deadline := self.deadline()) != told.deadline:
            now["deadline"] = deadline
            now["slo"] = self.wanted or ("deadline" if deadline is not None else "best_effort")
        if (run_deadline := self.run_deadline()) != told.run_deadline:
            now["run_deadline"] = run_deadline
        if unfolded and (remaining := summarised(self.place.remaining())) != told.remaining:
            now["remaining"] = remaining
        return now

    def frames(self) -> Iterator[Frame]:
        """All it is within."""
        frame = self.place.frame
        while frame is not None:
            yield frame
            frame = None if frame.owner is None else frame.owner.frame


class Updates:
    """Of the calls of one run.

    Args:
        journal: takes the events of what the scheduler noted.
    """

    def __init__(self, scheduler: CallScheduler, run: str, journal: Callable[[Event], Any]) -> None:
        self._scheduler = scheduler
        self._run = run
        self._journal = journal
        self._under_way: dict[Asked, None] = {}
        self._within: dict[Frame, dict[Asked, None]] = {}
        """Calls under way by the frames they are in."""
        self._changed: dict[Asked, bool] = {}
        """Calls to look at, and whether their forecast may have changed."""
        self._frames: dict[Frame, bool] = {}
        """Frames whose calls are to be looked at, the same."""
        self._ended: dict[str, str] = {}
        """Calls whose records are not there yet: paths by keys."""
        self._stirred = anyio.Event()
        self._stopped = anyio.Event()
        self._abandoned = False
        """Whether calls were under way when the run was stopped."""
        self._rest_until = 0.0
        self._asking = anyio.Lock()
        """Held while the scheduler is asked for records."""

    # what the run says ----------------------------------------------------------------

    @contextmanager
    def about(self, asked: Asked) -> Iterator[Asked]:
        """Within it, a call is under way."""
        frames = list(asked.frames())
        self._under_way[asked] = None
        for each in frames:
            self._within.setdefault(each, {})[asked] = None
        answered = False
        try:
            yield asked
            answered = True
        except Exception:
            answered = True  # with a refusal, perhaps, of which the scheduler knows why
            raise
        finally:
            if answered:
                self._ended[asked.hints.key] = asked.place.path
                self._stir()
            del self._under_way[asked]
            self._changed.pop(asked, None)
            for each in frames:
                calls = self._within[each]
                del calls[asked]
                if not calls:
                    del self._within[each]

    def unfolded(self, frame: Frame) -> None:
        """More is known of what follows in a frame. O(1)."""
        if frame in self._within:
            self._frames[frame] = True
            self._stir()

    def sibling_ended(self, frame: Frame) -> None:
        """An iteration of a map in a frame has ended. O(1)."""
        if frame in self._within:
            self._frames.setdefault(frame, False)
            self._stir()

    def deadlines_moved(self) -> None:
        """A deadline was brought forward; or it was missed, and what it held for goes on."""
        for each in self._under_way:
            self._changed.setdefault(each, False)
        self._stir()

    def stopped(self) -> None:
        """The run is stopped: its calls are of no use any more."""
        self._abandoned = self._abandoned or bool(self._under_way)
        self._stopped.set()
        self._stir()

    def _stir(self) -> None:
        self._stirred.set()

    # what the scheduler is told -------------------------------------------------------

    async def keep_telling(self) -> None:
        """Tell the scheduler of changes as they come, until the run is stopped."""
        try:
            while not self._stopped.is_set():
                await self._stirred.wait()
                with anyio.move_on_after(PAUSE):
                    await self._stopped.wait()
                self._stirred = anyio.Event()
                if not self._stopped.is_set():
                    await self.tell()
        finally:
            if self._abandoned:
                # Shielded and waited for: a message on its way must not meet the calls of a resumed run.
                with anyio.move_on_after(1, shield=True):
                    await self._try(self._scheduler.cancel, run=self._run)

    async def tell(self) -> None:
        """Tell and ask what there is to, a message of each kind; what is left over comes next."""
        await anyio.sleep(max(0.0, self._rest_until - time.monotonic()))
        changes = self._gathered()
        if changes:
            await self._try(self._scheduler.update, changes)
        await self._note()
        if self._changed or self._ended:
            self._stir()

    async def settle(self) -> None:
        """Note what is known of the last calls of a run that ends, if that is soon told."""
        if time.monotonic() >= self._rest_until:
            with anyio.move_on_after(LAST):
                while self._ended or self._asking.locked():
                    await self._note()

    def _gathered(self) -> list[HintsChange]:
        for frame, unfolded in self._frames.items():
            for asked in self._within.get(frame, ()):
                self._changed[asked] = self._changed.get(asked, False) or unfolded
        self._frames.clear()
        found: list[HintsChange] = []
        for asked in list(islice(self._changed, LOOKED)):
            if len(found) == MOST:
                break
            fields = asked.changes(self._changed.pop(asked))
            if fields:
                asked.hints = asked.hints.model_copy(update=fields)
                found.append(HintsChange(asked.hints.key, _plain(fields)))
        return found

    async def _note(self) -> None:
        """Journal what the scheduler has noted of some calls that have ended."""
        async with self._asking:
            keys = list(islice(self._ended, MOST))
            if not keys:
                return
            paths = {key: self._ended.pop(key) for key in keys}
            records = await self._try(self._scheduler.served, keys)
        calls: dict[str, list[dict[str, Any]]] = {}
        for each in records or ():
            if each.key in paths:
                calls.setdefault(paths[each.key], []).append(_noted(each))
        if calls:
            now = time.time()
            told = Event(EventKind.SCHEDULED, "", started_at=now, finished_at=now, detail={CALLS: calls})
            with suppress(Halt):
                self._journal(told)

    async def _try(self, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Ask the scheduler; `None` if it does not answer, and then it is left alone for a while."""
        try:
            with anyio.fail_after(PATIENCE):
                return await ask(*args, **kwargs)
        except Exception as error:
            logger.warning("Run %s: the scheduler could not be told of changes: %r", self._run, error)
            self._rest_until = time.monotonic() + PATIENCE
            return None


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it."""
    stages = fields.get("remaining")
    if stages is None:
        return fields
    return {**fields, "remaining": [each.model_dump(mode="json", exclude_defaults=True) for each in stages]}


def _noted(record: CallRecord) -> dict[str, Any]:
    """For the journal: what there is to say."""
    fields: Iterable[tuple[str, Any]] = asdict(record).items()
    return {name: value for name, value in fields if name != "key" and value not in (None, "", (), 0)}
