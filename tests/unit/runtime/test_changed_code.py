"""Resuming a run after its code was changed: what stands is kept, the rest is done again."""

from __future__ import annotations

import itertools
from pathlib import Path

import anyio
import pytest

from agentvm import AgentVM, InputError, RunFailed, UncertainWrite
from agentvm.loading import load_file
from agentvm.testing import ScriptedLLM
from agentvm_runtime.store.memory import MemoryStore

HEAD = """\
from agentvm import agent, llm, tool

SENT = []

@tool
async def send(text: str) -> str:
    SENT.append(text)
    return f"sent {text}"

"""
PROGRAM = """\
@agent
async def flow(topic: str) -> str:
    facts = await llm(f"facts about {topic}")
    style = await llm("a style")
    draft = await llm(f"draft from {facts}")
    receipt = await send(style)
    last = await llm(f"polish {draft} in {style}")
    return f"{last}; {receipt}"
"""

_count = itertools.count()


class Bench:
    """A program in a file, a store, and a model that fails where it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.run = ""

    def load(self, program: str):
        """The agent of an edited file; the file's name stays that of the first."""
        folder = self.folder / str(next(_count))
        folder.mkdir()
        path = folder / "edited.py"
        path.write_text(HEAD + program)
        self.module = load_file(path)
        self.module.SENT.clear()
        return self.module.flow

    async def stop_at(self, program: str, prompt: str) -> None:
        """Run until a prompt is asked for, which fails."""

        def script(call):
            if call.prompt.startswith(prompt):
                raise ConnectionError("down")
            return f"<{call.prompt}>"

        flow = self.load(program)
        async with AgentVM(store=self.store, llm=ScriptedLLM(script)) as vm:
            run = await vm.start(flow, "bees")
            with pytest.raises(RunFailed):
                await run.result()
        self.run = run.id

    async def resume(self, program: str):
        """The preview, the prompts asked for, and the result."""
        flow = self.load(program)
        model = ScriptedLLM(lambda call: f"<{call.prompt}>")
        async with AgentVM(store=self.store, llm=model) as vm:
            expected = await vm.preview(self.run, agent=flow, retry=True)
            assert not model.calls
            assert not self.module.SENT
            result = await (await vm.resume(self.run, agent=flow, retry=True)).result()
        return expected, model.prompts, result


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_unchanged_code_keeps_everything(bench: Bench):
    """Nothing is said to change, and only what was not done is done."""
    await bench.stop_at(PROGRAM, "polish")
    expected, prompts, _ = await bench.resume(PROGRAM)
    assert expected.summary == "kept 4, re-run 0"
    assert prompts == ["polish <draft from <facts about bees>> in <a style>"]


async def test_a_changed_prompt_is_asked_again_with_what_depends_on_it(bench: Bench):
    """The report names the prompt and its line; siblings and the write stay."""
    await bench.stop_at(PROGRAM, "polish")
    expected, prompts, result = await bench.resume(PROGRAM.replace("draft from", "essay from"))
    assert expected.summary == "kept 3, re-run 1: prompt of 'draft' changed at edited.py:14"
    assert prompts == [
        "essay from <facts about bees>",
        "polish <essay from <facts about bees>> in <a style>",
    ]
    assert bench.module.SENT == []
    assert result.endswith("sent <a style>")


async def test_dependents_that_were_done_are_counted(bench: Bench):
    """What depends on changed code is announced as re-run."""
    await bench.stop_at(PROGRAM, "polish")
    expected, prompts, _ = await bench.resume(PROGRAM.replace("facts about", "news of"))
    assert expected.summary == "kept 2, re-run 2: prompt of 'facts' changed at edited.py:12"
    assert expected.redone == ("llm#1", "llm#3")
    assert prompts == [
        "news of bees",
        "draft from <news of bees>",
        "polish <draft from <news of bees>> in <a style>",
    ]


async def test_a_call_put_before_others_does_not_move_them(bench: Bench):
    """Results are found though their nodes are numbered otherwise now; writes above all."""
    await bench.stop_at(PROGRAM, "polish")
    edited = PROGRAM.replace(
        "    facts =", '    extra = await llm("extra")\n    await send(f"new {extra}")\n    facts ='
    )
    expected, prompts, _ = await bench.resume(edited)
    assert expected.redone == ()
    assert len(expected.kept) == 4
    assert "'extra' is new at edited.py:12" in expected.summary
    assert sorted(prompts) == ["extra", "polish <draft from <facts about bees>> in <a style>"]
    assert bench.module.SENT == ["new <extra>"]


async def test_edits_may_follow_each_other(bench: Bench):
    """A run that was resumed with edited code is resumed with code edited once more."""
    await bench.stop_at(PROGRAM, "polish")
    edited = PROGRAM.replace("    facts =", '    extra = await llm("extra")\n    facts =')

    def script(call):
        if call.prompt.startswith("polish"):
            raise ConnectionError("down again")
        return f"<{call.prompt}>"

    flow = bench.load(edited)
    async with AgentVM(store=bench.store, llm=ScriptedLLM(script)) as vm:
        with pytest.raises(RunFailed):
            await (await vm.resume(bench.run, agent=flow, retry=True)).result()
    more = edited.replace("    facts =", '    other = await llm("other")\n    facts =')
    expected, prompts, _ = await bench.resume(more)
    assert len(expected.kept) == 5
    assert expected.redone == ()
    assert sorted(prompts) == ["other", "polish <draft from <facts about bees>> in <a style>"]


async def test_a_removed_call_is_reported(bench: Bench):
    """What the program no longer asks for is named, and so is the place where it stood."""
    await bench.stop_at(PROGRAM, "polish")
    edited = PROGRAM.replace("    receipt = await send(style)\n", '    receipt = "none"\n')
    expected, prompts, result = await bench.resume(edited)
    assert expected.gone == ("send#1",)
    assert "tool 'send' is gone at edited.py:15" in expected.lines()[1] + expected.lines()[2]
    assert prompts == ["polish <draft from <facts about bees>> in <a style>"]
    assert result.endswith("; none")


async def test_a_renamed_tool_is_reported_and_called(bench: Bench):
    """A new name is new code: the old result is reported as gone, never silently dropped."""
    await bench.stop_at(PROGRAM, "polish")
    edited = PROGRAM.replace("await send(", "await post(").replace(
        "@agent",
        "@tool\nasync def post(text: str) -> str:\n    SENT.append(text)\n    return 'posted'\n\n@agent",
    )
    expected, _, result = await bench.resume(edited)
    assert expected.gone == ("send#1",)
    assert bench.module.SENT == ["<a style>"]
    assert result.endswith("posted")


async def test_a_write_with_other_arguments_is_made(bench: Bench):
    """Its first outcome is known, so the edited call is another write and not an uncertain one."""
    await bench.stop_at(PROGRAM, "polish")
    await bench.resume(PROGRAM.replace("send(style)", "send(style + '!')"))
    assert bench.module.SENT == ["<a style>!"]


async def test_changed_python_is_computed_again_and_equal_results_end_it(bench: Bench):
    """Early cutoff: code that gives what it gave before changes nothing after it."""
    program = PROGRAM.replace("    draft =", "    facts = facts.strip()\n    draft =")
    await bench.stop_at(program, "polish")
    expected, prompts, _ = await bench.resume(program.replace("facts.strip()", "facts.strip(' ')"))
    assert expected.redone == ("=facts#1",)
    assert prompts == ["polish <draft from <facts about bees>> in <a style>"]


async def test_a_loop_keeps_its_iterations(bench: Bench):
    """A loop that moved is the same loop."""
    program = """\
@agent
async def flow(topic: str) -> str:
    text = topic
    for number in range(3):
        text = await llm(f"{number} {text}")
    return await llm(f"polish {text}")
"""
    await bench.stop_at(program, "polish")
    edited = program.replace(
        "    text = topic\n",
        "    text = topic\n    for number in range(2):\n        await send(f'{number}')\n",
    )
    expected, prompts, _ = await bench.resume(edited)
    assert [each for each in expected.kept if "llm" in each] == [f"for#1[{n}]/llm#1" for n in range(3)]
    assert len(prompts) == 1
    assert bench.module.SENT == ["0", "1"]


HELD = """\
import asyncio

@tool
async def deliver(text: str) -> str:
    SENT.append(text)
    if STUCK:
        STUCK.pop().set()
        await asyncio.Event().wait()
    return f"delivered {text}"

STUCK = []

@agent
async def flow(topic: str) -> str:
    receipt = await deliver(f"%s {topic}")
    return await llm(f"polish {receipt}")
"""


async def test_a_changed_write_in_doubt_is_not_repeated(bench: Bench):
    """A write was done, its code edited, and the process died in the edited write: that one is in doubt."""
    await bench.stop_at(HELD % "on", "polish")
    flow = bench.load(HELD % "about")
    async with AgentVM(store=bench.store, llm=ScriptedLLM("x")) as vm:
        stuck = anyio.Event()
        bench.module.STUCK.append(stuck)
        await vm.resume(bench.run, agent=flow, retry=True)
        await stuck.wait()
    assert bench.module.SENT == ["about bees"]
    flow = bench.load(HELD % "about")
    async with AgentVM(store=bench.store, llm=ScriptedLLM("x")) as vm:
        with pytest.raises(UncertainWrite):
            await (await vm.resume(bench.run, agent=flow)).result()
    assert not bench.module.SENT


async def test_a_new_parameter_has_its_default(bench: Bench):
    """The run goes on with it, also when it is resumed once more; what does not depend on it is kept."""
    edited = PROGRAM.replace("topic: str", "topic: str, tone: list[str] = ['dry']")
    edited = edited.replace('"a style"', 'f"a {tone[0]} style"')
    await bench.stop_at(PROGRAM, "polish")
    expected, prompts, _ = await bench.resume(edited)
    assert expected.summary.startswith("kept 2, re-run 2")
    assert prompts == ["a dry style", "polish <draft from <facts about bees>> in <a dry style>"]


async def test_a_parameter_that_the_run_has_no_value_for_is_told(bench: Bench):
    """Neither the preview nor the run begins: it stays as it was, and goes on once there is a default."""
    await bench.stop_at(PROGRAM, "polish")
    edited = bench.load(PROGRAM.replace("topic: str", "subject: str").replace("{topic}", "{subject}"))
    says = f"Run {bench.run} was started without 'subject'.*agentvm fork {bench.run} --set subject=VALUE"
    before = await bench.store.events(bench.run)
    async with AgentVM(store=bench.store, llm=ScriptedLLM(str)) as vm:
        with pytest.raises(InputError, match=says):
            await vm.preview(bench.run, agent=edited, retry=True)
        with pytest.raises(InputError, match=says):
            await vm.resume(bench.run, agent=edited, retry=True)
    assert await bench.store.events(bench.run) == before
    expected, *_ = await bench.resume(PROGRAM.replace("topic: str", "topic: str, subject: str = ''"))
    assert expected.summary.startswith("kept 4")


async def test_a_fork_takes_a_renamed_parameter(bench: Bench):
    """What the edited code no longer takes is left out; what comes out equal is inherited."""
    await bench.stop_at(PROGRAM, "polish")
    edited = bench.load(PROGRAM.replace("topic: str", "subject: str").replace("{topic}", "{subject}"))
    model = ScriptedLLM(lambda call: f"<{call.prompt}>")
    async with AgentVM(store=bench.store, llm=model) as vm:
        with pytest.raises(InputError, match="missing a required argument: 'subject'"):
            await vm.fork(bench.run, agent=edited)
        fork = await vm.fork(bench.run, agent=edited, set={"subject": "bees"})
        await fork.result()
    assert model.prompts == ["polish <draft from <facts about bees>> in <a style>"]
    assert bench.module.SENT == []
