"""The backend for OpenAI-compatible endpoints, against a fake one."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio
import pytest

from agentvm_compiler.errors import BackendError
from agentvm_compiler.wire import Hints, Message, ModelCall, Sampling, Usage
from agentvm_serving.backends.http import client_module
from agentvm_serving.backends.openai import OpenAIBackend


def ask(**options: Any) -> ModelCall:
    return ModelCall(messages=(Message("user", "hi"),), **options)


async def test_answer_is_gathered_with_usage_and_timing(endpoint, reply):
    """Text, usage, finish reason, identity and the order of the moments come from the stream."""
    endpoint.replies = [reply.answer("Par", "is", ".")]
    result = await endpoint.backend().complete(ask())
    assert (result.text, result.finish_reason) == ("Paris.", "stop")
    assert result.usage == Usage(input_tokens=7, output_tokens=3, cached_tokens=1)
    assert result.model == "m@http://fake/v1"
    timing = result.timing
    assert timing.sent_at <= timing.first_token_at <= timing.finished_at


async def test_request_carries_sampling_and_asks_for_usage(endpoint, reply):
    """What the call leaves open is not sent at all."""
    endpoint.replies = [reply.answer("x")]
    sampling = Sampling(temperature=0, max_tokens=5, seed=3, stop=("END",))
    await endpoint.backend().complete(ask(model="other", sampling=sampling))
    assert endpoint.requests == [
        {
            "model": "other",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "max_tokens": 5,
            "seed": 3,
            "stop": ["END"],
        }
    ]


async def test_progress_counts_output_tokens(endpoint, reply):
    """Each chunk counts as a token where the endpoint gives no running usage."""
    endpoint.replies = [reply.answer("a", "b", "c")]
    seen: list[tuple[int, str]] = []
    await endpoint.backend().complete(ask(), lambda *told: seen.append(told))
    assert seen == [(1, "a"), (2, "b"), (3, "c")]


async def test_progress_uses_running_usage(endpoint, reply):
    """A chunk of several tokens is counted as such where the endpoint says so."""
    events = [reply.chunk("ab", usage=(7, 4)), reply.chunk("c", "stop", usage=(7, 5)), "[DONE]"]
    endpoint.replies = [reply.Body(events)]
    seen: list[tuple[int, str]] = []
    result = await endpoint.backend().complete(ask(), lambda *told: seen.append(told))
    assert (seen, result.usage.output_tokens) == ([(4, "ab"), (5, "c")], 5)


async def test_hints_travel_as_one_string(endpoint, reply):
    """An endpoint known to take hints gets them under `vllm_xargs`, with running usage."""
    endpoint.replies = [reply.answer("x")]
    await endpoint.backend(hints=True).complete(ask(hints=Hints(key="r/1", slo="deadline", deadline=9e9)))
    sent = endpoint.requests[0]
    assert json.loads(sent["vllm_xargs"]["agentvm"]) == {
        "version": 1,
        "key": "r/1",
        "slo": "deadline",
        "deadline": 9e9,
    }
    assert sent["stream_options"]["continuous_usage_stats"] is True


@pytest.mark.parametrize(("owner", "sent"), [("vllm", True), ("openai", False)])
async def test_hints_go_to_a_vllm_only_by_default(endpoint, reply, owner, sent):
    """Unasked, an endpoint is sent hints only if it says it is a vLLM."""
    endpoint.models = [{"id": "m", "object": "model", "owned_by": owner}]
    endpoint.replies = [reply.answer("x")]
    await endpoint.backend(hints=None).complete(ask())
    assert ("vllm_xargs" in endpoint.requests[0]) is sent


async def test_refused_hints_are_dropped_for_good(endpoint, reply):
    """An endpoint that does not know the field gets the call, and later ones, without it."""
    endpoint.replies = [
        (400, "Unrecognized request argument supplied: vllm_xargs"),
        reply.answer("one"),
        reply.answer("two"),
    ]
    backend = endpoint.backend(hints=True, attempts=1)
    assert (await backend.complete(ask())).text == "one"
    assert (await backend.complete(ask())).text == "two"
    assert ["vllm_xargs" in request for request in endpoint.requests] == [True, False, False]


async def test_newer_name_of_the_output_limit_is_learnt(endpoint, reply):
    """OpenAI's newer models refuse `max_tokens`; the call goes again under the new name."""
    complaint = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    endpoint.replies = [(400, complaint), reply.answer("x")]
    await endpoint.backend().complete(ask(sampling=Sampling(max_tokens=9)))
    assert endpoint.requests[1]["max_completion_tokens"] == 9
    assert "max_tokens" not in endpoint.requests[1]


async def test_object_schema_is_sent_closed_and_strict(endpoint, reply):
    """An object schema goes as it is, but for the properties it does not name."""
    endpoint.replies = [reply.answer('{"a": 1}')]
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    result = await endpoint.backend().complete(ask(schema=schema))
    assert result.text == '{"a": 1}'
    assert endpoint.requests[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "schema": {**schema, "additionalProperties": False},
            "strict": True,
        },
    }


async def test_other_schemas_are_wrapped_and_unwrapped(endpoint, reply):
    """A list is asked for inside an object, and arrives as a list."""
    endpoint.replies = [reply.answer('{"value": ["é"', ', "b"]}')]
    schema = {"type": "array", "items": {"$ref": "#/$defs/S"}, "$defs": {"S": {"type": "string"}}}
    result = await endpoint.backend().complete(ask(schema=schema))
    assert json.loads(result.text) == ["é", "b"]
    assert endpoint.requests[0]["response_format"]["json_schema"]["schema"] == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/S"}}},
        "required": ["value"],
        "$defs": {"S": {"type": "string"}},
        "additionalProperties": False,
    }


async def test_answer_cut_short_is_returned_as_it_came(endpoint, reply):
    """Text that is not whole JSON is not an error here: the finish reason says why."""
    endpoint.replies = [reply.answer('{"value": ["a', finish="length")]
    result = await endpoint.backend().complete(ask(schema={"type": "array"}))
    assert (result.text, result.finish_reason) == ('{"value": ["a', "length")


TRANSIENT = [(429, "slow down"), (500, "oops"), (503, "loading"), (408, "late")]


@pytest.mark.parametrize("failure", TRANSIENT, ids=lambda failure: str(failure[0]))
async def test_transient_failures_are_tried_again(endpoint, reply, failure):
    """An overloaded or failing server gets the same request again."""
    endpoint.replies = [failure, failure, reply.answer("x")]
    assert (await endpoint.backend().complete(ask())).text == "x"
    assert len(endpoint.requests) == 3


async def test_lost_connection_is_tried_again(endpoint, reply):
    """So does one that could not be reached, or closed in the middle of an answer."""
    cut = reply.Body([reply.chunk("half")])
    endpoint.replies = [client_module().ConnectError("refused"), cut, reply.answer("whole")]
    assert (await endpoint.backend().complete(ask())).text == "whole"
    assert cut.closed


async def test_attempts_are_bounded(endpoint):
    """The last failure is reported, with the number of attempts, as transient."""
    endpoint.replies = [(503, "loading")]
    with pytest.raises(BackendError, match=r"HTTP 503: loading\) after 3 attempts") as caught:
        await endpoint.backend(attempts=3).complete(ask())
    assert caught.value.transient
    assert len(endpoint.requests) == 3


async def test_no_attempt_is_made_past_the_deadline(endpoint):
    """A call whose deadline has passed is not sent a second time."""
    endpoint.replies = [(503, "loading")]
    with pytest.raises(BackendError):
        await endpoint.backend().complete(ask(hints=Hints(deadline=time.time() - 1)))
    assert len(endpoint.requests) == 1


PERMANENT = [
    ((401, "bad key"), ["refused the credentials", "bad key", "Set OPENAI_API_KEY"]),
    ((404, "no such model"), ["was not found", "Models it serves: known"]),
    (
        (400, "This model's maximum context length is 10 tokens"),
        ["do not fit the context", "Shorten the prompt"],
    ),
    ((400, "bad schema"), ["rejected the request", "bad schema", "Change the call's options"]),
    ((429, "pay first", "insufficient_quota"), ["over its limit", "pay first", "raise the quota"]),
]


@pytest.mark.parametrize(("failure", "words"), PERMANENT, ids=lambda value: str(value[0]))
async def test_permanent_failures_say_what_where_and_remedy(endpoint, failure, words):
    """A request that cannot succeed is sent once; the message names model, URL and remedy."""
    endpoint.replies = [failure]
    with pytest.raises(BackendError) as caught:
        await endpoint.backend().complete(ask())
    message = str(caught.value)
    assert [word for word in [*words, "'m'", "http://fake/v1"] if word not in message] == []
    assert not caught.value.transient
    assert len(endpoint.requests) == 1


async def test_error_inside_a_stream_is_reported(endpoint, reply):
    """A request that fails after its stream began fails with the server's words."""
    endpoint.replies = [reply.Body([reply.chunk("a"), {"error": {"message": "too bad", "code": 400}}])]
    with pytest.raises(BackendError, match="HTTP 400: too bad") as caught:
        await endpoint.backend().complete(ask())
    assert not caught.value.transient


async def test_unreachable_endpoint_is_named(endpoint):
    """No server there: the URL and what to check."""
    pytest.importorskip("openai")
    backend = OpenAIBackend("http://127.0.0.1:1/v1", "m", hints=False, attempts=1)
    with pytest.raises(BackendError, match=r"cannot reach http://127.*:1/v1 .*Check the URL") as caught:
        await backend.complete(ask())
    assert caught.value.transient
    await backend.aclose()


async def test_cancelling_closes_the_stream(endpoint, reply):
    """A cancelled call leaves no open stream, so that the engine frees its slot."""
    started = anyio.Event()
    body = reply.Body([reply.chunk("a")], then=anyio.sleep_forever)
    endpoint.replies = [body]
    backend = endpoint.backend()
    async with anyio.create_task_group() as group:
        group.start_soon(backend.complete, ask(), lambda *_: started.set())
        await started.wait()
        group.cancel_scope.cancel()
    assert body.closed


async def test_closing_twice_is_harmless(endpoint, reply):
    """A closed backend closes again, and may even be used again."""
    endpoint.replies = [reply.answer("x")]
    backend = endpoint.backend()
    await backend.complete(ask())
    await backend.aclose()
    await backend.aclose()
    assert backend.identity(None) == "m@http://fake/v1"
