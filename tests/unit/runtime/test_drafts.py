"""What models have said so far."""

from __future__ import annotations

import anyio
import pytest

from agentvm import AgentVM, agent, llm
from agentvm.testing import ScriptedLLM
from agentvm_runtime import secret
from agentvm_runtime.drafts import KEPT, Drafts, News, Reader


def test_a_reader_gets_what_is_new_in_one_piece():
    """However many pieces came meanwhile; nothing where nothing came."""
    drafts, reader = Drafts(), Reader(100)
    draft = drafts.begin("llm#1")
    assert reader.news(drafts) == []
    draft.add("one ")
    draft.add("two ")
    assert reader.news(drafts) == [News("llm#1", 1, 0, "one two ")]
    draft.add("three")
    assert reader.news(drafts) == [News("llm#1", 1, 8, "three")]
    assert reader.news(drafts) == []
    assert Reader(100).news(drafts) == [News("llm#1", 1, 0, "one two three")]


def test_a_slow_reader_gets_the_end():
    """What is left out is told by where the text stands."""
    drafts, reader = Drafts(), Reader(4)
    drafts.begin("llm#1").add("0123456789")
    assert reader.news(drafts) == [News("llm#1", 1, 6, "6789")]


def test_an_answer_that_is_given_again_begins_anew():
    """By its number; that of a call that has ended is forgotten."""
    drafts, reader = Drafts(), Reader(100)
    drafts.begin("llm#1").add("{wrong")
    assert reader.news(drafts) == [News("llm#1", 1, 0, "{wrong")]
    drafts.begin("llm#1").add("{}")
    assert reader.news(drafts) == [News("llm#1", 2, 0, "{}")]
    drafts.end("llm#1")
    assert reader.news(drafts) == []


def test_long_answers_take_no_more_than_they_may():
    """The end is kept, and where it stands."""
    drafts, reader = Drafts(), Reader(10)
    draft = drafts.begin("llm#1")
    for _ in range(5 * KEPT // 8):
        draft.add("12345678")
    gone, text = draft.said()
    assert len(text) <= 2 * KEPT
    assert gone + len(text) == 5 * KEPT
    assert reader.news(drafts) == [News("llm#1", 1, 5 * KEPT - 10, "7812345678")]


def test_no_secret_is_said(monkeypatch: pytest.MonkeyPatch):
    """Not even its beginning, while the rest of it has not come."""
    monkeypatch.setitem(secret.HELD, "sk-very-secret", "key")
    drafts, reader = Drafts(), Reader(100)
    draft = drafts.begin("llm#1")
    said = ""
    for letter in "the key sk-very-secret opens sk-nothing":
        draft.add(letter)
        said += "".join(each.text for each in reader.news(drafts))
    assert said == f"the key {secret.HIDDEN} opens sk-nothing"


def test_a_secret_where_a_long_answer_is_cut_is_not_said(monkeypatch: pytest.MonkeyPatch):
    """Not its second half either, and readers miss nothing where secrets were replaced."""
    value = "sk-0123456789abcdef"
    monkeypatch.setitem(secret.HELD, value, "key")
    drafts, reader, said = Drafts(), Reader(4 * KEPT), ""
    draft = drafts.begin("llm#1")
    pieces = ["x" * (KEPT - 10), value, "y" * (KEPT - len(value) + 10), "z" * 10, value, "w" * KEPT]
    for piece in pieces:
        draft.add(piece)
        [news] = reader.news(drafts)
        assert news.at == len(said)
        said += news.text
        assert "cdef" not in draft.said()[1]
    assert said == "".join(pieces).replace(value, "***")


@agent
async def talk() -> str:
    return await llm("first")


class Typewriter(ScriptedLLM):
    """A model that stops after half of its answer, until it may go on."""

    def __init__(self, script):
        super().__init__(script)
        self.halfway = anyio.Event()
        self.on = anyio.Event()

    async def complete(self, call, progress=None):
        progress(1, "half ")
        self.halfway.set()
        await self.on.wait()
        return await super().complete(call, progress)


async def test_a_run_in_hand_shows_what_is_being_said():
    """While a call is under way, and not after it."""
    model = Typewriter(["an answer"])
    async with AgentVM(store="memory", llm=model) as vm:
        run = await vm.start(talk)
        await model.halfway.wait()
        assert {path: each.said() for path, each in run.drafts.items()} == {"llm#1": (0, "half ")}
        model.on.set()
        assert await run.result() == "an answer"
        assert dict(run.drafts) == {}
