"""What a caller may tell our scheduler of requests that wait or run at an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentvm_compiler.errors import InputError
from agentvm_compiler.wire import CallRecord, HintsChange

from .failures import Place, explain, status_of
from .http import client_module


class Steering:
    """Changes requests that were sent before; an endpoint without our scheduler knows of none.

    Requests are named by the `key` or `run` of their hints. `update` and `served` are for a program
    that tells of many calls as it goes on (the runtime's port): an endpoint that turned out not to
    have our scheduler is not asked by them again.

    Args:
        client: gives the endpoint's client; `None` while there is none.
        place: for errors.
        listens: whether the endpoint may have our scheduler at all.
    """

    def __init__(
        self, client: Callable[[], Any], place: Place, listens: Callable[[], bool] = lambda: True
    ) -> None:
        self._client = client
        self._place = place
        self._listens = listens
        self._deaf = False
        """Whether it answered that it knows of no such thing."""

    async def update(self, changes: Sequence[HintsChange]) -> None:
        """Change hints of many requests, each named by its key.

        Raises:
            InputError: the fields are none of hints, or have no such values.
            BackendError: the endpoint cannot be reached.
        """
        if not self._deaf and self._listens():
            told = [{"key": each.key, "hints": dict(each.fields)} for each in changes]
            await self._ask("hints", {"changes": told})

    async def served(self, keys: Sequence[str]) -> list[CallRecord]:
        """What became of the requests with these keys, oldest first."""
        if self._deaf or not self._listens():
            return []
        found = (await self._ask("requests", {"keys": list(keys)})).get("requests", [])
        return [_record(each) for each in found]

    async def update_hints(self, fields: Mapping[str, Any], *, key: str = "", run: str = "") -> int:
        """Change hints of requests: a deadline that moved, siblings that are done.

        A change may overtake its request: it is kept for a key that is not known yet.

        Returns:
            How many requests were changed.

        Raises:
            InputError: the fields are none of hints, or have no such values.
        """
        answer = await self._ask("hints", {"key": key, "run": run, "hints": dict(fields)})
        return int(answer.get("updated", 0))

    async def cancel(self, *, key: str = "", run: str = "") -> int:
        """End requests; how many there were. Their calls finish with `abort`."""
        return int((await self._ask("cancel", {"key": key, "run": run})).get("cancelled", 0))

    async def records(self, key: str) -> list[dict[str, Any]]:
        """What became of requests: when they were queued, scheduled and done, and why; oldest first."""
        return list((await self._ask("requests", {"key": key})).get("requests", []))

    async def serve_by(self, policy: str) -> None:
        """Change the policy of an engine that has no requests, and forget what it has learnt.

        Raises:
            InputError: it has some, it keeps its policy, or there is no such one.
        """
        await self._ask("policy", {"policy": policy})

    async def _ask(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        import openai

        client = self._client()
        if client is None:
            return {}
        try:
            return dict(await client.post(f"/agentvm/{operation}", cast_to=object, body=body))
        except openai.BadRequestError as error:
            raise InputError(str(error)) from None
        except (openai.APIError, client_module().HTTPError) as error:
            if status_of(error) in (403, 404, 405, 501):
                self._deaf = True
                return {}
            raise explain(error, self._place) from error


def _record(told: Mapping[str, Any]) -> CallRecord:
    return CallRecord(
        key=told["key"],
        queued_at=told["arrival"],
        started_at=told["first_scheduled_at"],
        finished_at=told["finished_at"],
        held_seconds=told["held_seconds"],
        preempted_at=tuple(told["preempted_at"]),
        updates=told["updates"],
        expected_tokens=told["expected_tokens"],
        outcome=told["outcome"],
        why=told["why"],
    )
