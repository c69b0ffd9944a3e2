"""What a caller may tell our scheduler of requests that wait or run at an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentvm_compiler.errors import InputError

from .failures import Place, explain, status_of
from .http import client_module


class Steering:
    """Changes requests that were sent before; an endpoint without our scheduler knows of none.

    Requests are named by the `key` or `run` of their hints.

    Args:
        client: gives the endpoint's client; `None` while there is none.
    """

    def __init__(self, client: Callable[[], Any], place: Place) -> None:
        self._client = client
        self._place = place

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

    async def _ask(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        import openai

        client = self._client()
        if client is None:
            return {}
        try:
            return dict(await client.post(f"/agentvm/{operation}", cast_to=object, body=body))
        except openai.BadRequestError as error:
            raise InputError(str(error)) from None
        except (openai.NotFoundError, openai.PermissionDeniedError):
            return {}
        except (openai.APIError, client_module().HTTPError) as error:
            if status_of(error) in (405, 501):
                return {}
            raise explain(error, self._place) from error
