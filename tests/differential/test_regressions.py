"""Bugs that were found, each as the smallest program that showed it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from agentvm import agent, llm, tool
from agentvm_compiler.wire import ModelCall

from .crash import assert_resumes, events_of_a_whole_run
from .harness import Case, model, observe_compiled, observe_plain

LOG: list[str] = []


@tool
async def write(text: str) -> int:
    LOG.append(text)
    return len(LOG)


def echo(call: ModelCall) -> str:
    return call.prompt


def case_of(program: Any, *args: Any) -> Case:
    """The agent with these arguments, and a model that repeats its prompt."""
    module = SimpleNamespace(CASES=[(program, args, {})], LOG=LOG, script=echo, __name__=__name__)
    return Case(cast(ModuleType, module), 0)


async def assert_resumes_anywhere(program: Any, *args: Any) -> None:
    """Stop the agent after each of its journal events; resumed, it must end as plain Python does."""
    case = case_of(program, *args)
    plain = await observe_plain(case, model(case))
    for point in range(await events_of_a_whole_run(case) + 1):
        await assert_resumes(case, point, plain.outcome, plain.log)


async def assert_as_plain(program: Any, *args: Any, seed: int | None = None) -> None:
    """Run the agent both ways, and compare all that can be seen."""
    case = case_of(program, *args)
    plain = await observe_plain(case, model(case, seed))
    compiled = await observe_compiled(case, model(case, seed))
    assert compiled.visible == plain.visible


@agent
async def raises_in_loop(words: list[str]) -> None:
    for word in words:
        answer = await llm(word)
        if answer == "b":
            raise LookupError(word)
        await write(answer)


async def test_no_write_after_an_earlier_iteration_failed():
    """An iteration that raises keeps later ones from writing, even where nothing suspends in between."""
    await assert_as_plain(raises_in_loop, ["a", "b", "c"])


@agent
async def countdown(number: int) -> list[int]:
    await llm(str(number))
    return [number, *(await countdown(number - 1))] if number else []


@agent
async def halves(word: str) -> list[object]:
    parts = [word[: len(word) // 2], word[len(word) // 2 :]] if len(word) > 1 else []
    return [await llm(word), [await halves(part) for part in parts]]


async def test_an_agent_may_call_itself():
    """The name of an agent means the agent also inside its own code."""
    await assert_as_plain(countdown, 2)
    await assert_as_plain(halves, "abc")


@agent
async def appends(values: list[str]) -> int:
    values.append(await llm(str(len(values))))
    return len(values)


@agent
async def passes_a_list() -> list[object]:
    values = ["x"]
    return [await appends(values), await appends(values), values]


async def test_what_a_called_agent_changes_is_seen_by_its_caller():
    """A list given to an agent that appends to it has grown afterwards."""
    await assert_as_plain(passes_a_list)


@agent
async def pairs_up(words: list[str]) -> list[str]:
    source = iter(words)
    found = []
    for word in source:
        other = next(source, "none")
        found.append(await llm(word + other))
    return found


async def test_an_iterator_the_loop_body_advances():
    """A loop does not look ahead in an iterator that its body takes items from."""
    await assert_as_plain(pairs_up, ["a", "b", "c"])


@agent
async def strict(first: int, /, second: int, *, third: int = 3) -> str:
    return await llm(f"{first}{second}{third}")


@agent
async def calls_wrongly() -> str:
    return await strict(1)  # type: ignore[call-arg]


async def test_wrong_arguments_to_an_agent_raise_what_python_raises():
    """The TypeError is that of an ordinary call."""
    await assert_as_plain(calls_wrongly)


@tool(effect="read")
async def grow(values: list[str]) -> int:
    values.append("grown")
    return len(values)


@agent
async def lets_a_tool_change_a_list(word: str) -> list[object]:
    values = [word]
    same = values
    first = await llm(word)
    size = await grow(values)
    same.append(await llm(f"{size}"))
    return [values, first]


async def test_what_a_tool_changed_is_still_changed_after_resume():
    """A recorded call of a tool that changed its argument has changed it on resume, too."""
    await assert_resumes_anywhere(lets_a_tool_change_a_list, "x")


@tool
def write_in_a_thread(text: str) -> int:
    LOG.append(text)
    return len(LOG)


@tool(effect="read")
async def written() -> int:
    return len(LOG)


@agent
async def write_after_untaken_branch(flag: bool) -> None:
    write_in_a_thread("one")
    if flag:
        await write("two")
    await write("three")


@agent
async def write_after_empty_loop(words: list[str]) -> None:
    write_in_a_thread("one")
    for word in words:
        await write(word)
    [await write(word) for word in words]
    await write("three")


@agent
async def maybe_writes(flag: bool) -> str:
    if flag:
        await write("two")
    return "said"


@agent
async def write_after_agent(flag: bool) -> str:
    write_in_a_thread("one")
    said = await maybe_writes(flag)
    await write("three")
    return said


async def test_writes_keep_their_order_over_a_region_that_does_not_write():
    """A branch, loop or agent that might have written and did not keeps later writes after earlier ones."""
    await assert_as_plain(write_after_untaken_branch, False)
    await assert_as_plain(write_after_empty_loop, [])
    await assert_as_plain(write_after_agent, False)


@agent
async def fails_before_untaken_branch(flag: bool) -> None:
    answer = await llm("x")
    int(answer)
    if flag:
        await write("two")
    await write("three")


async def test_a_failure_keeps_writes_behind_an_untaken_branch_from_running():
    """What raises before a branch that does not write is before the writes after the branch, too."""
    for seed in range(5):
        await assert_as_plain(fails_before_untaken_branch, False, seed=seed)


@agent
async def reads_before_untaken_branch(flag: bool) -> str:
    count = await written() if (await llm("x")) else 0
    more = await written()
    asked = await llm(f"{count} {await written()}")
    if flag:
        await write("two")
    await write("three")
    return f"{asked} {more}"


async def test_reads_before_an_untaken_branch_see_no_later_write():
    """A read before a branch that does not write comes before the writes after the branch."""
    for seed in range(5):
        await assert_as_plain(reads_before_untaken_branch, False, seed=seed)


@agent
async def reads_unbound_before_a_write(words: list[str]) -> object:
    for number in range(len(words)):
        await llm(str(number))
    return number + await write("never")


async def test_an_unbound_name_is_read_before_a_later_write():
    """A name that is not bound raises where it stands in the expression, before the write next to it."""
    await assert_as_plain(reads_unbound_before_a_write, [])


@agent
async def compares_identity(words: list[str]) -> list[object]:
    same = words
    first = await llm("a")
    return [same is words, first]


async def test_two_names_of_one_object_stay_so_after_resume():
    """`is` gives the same before and after a crash."""
    await assert_resumes_anywhere(compares_identity, ["x"])


@agent
async def reads_unbound_in_try(words: list[str]) -> str:
    for word in words:
        await llm(word)
    try:
        answer = word + await llm("x")
    except ValueError:
        return "caught"
    return answer


async def test_an_unbound_name_in_a_traced_statement_raises_what_python_raises():
    """The error of a name that is not bound is UnboundLocalError, in traced statements too."""
    await assert_as_plain(reads_unbound_in_try, [])


@agent
async def fails_while_another_waits(word: str) -> str:
    await write(word)
    first = await llm(word)
    if first == word:
        raise ValueError(first)
    return first


async def test_a_run_that_fails_while_its_machine_closes_can_be_resumed():
    """Nothing but the run is stopped when a machine closes, whatever the run was about to raise."""
    await assert_resumes_anywhere(fails_while_another_waits, "x")


@agent
async def first_of(rows: list[list[str]]) -> list[str]:
    return rows[0]


@tool(effect="read")
async def last_of(rows: list[list[str]]) -> list[str]:
    return rows[-1]


@agent
async def keeps_what_is_returned(rows: list[list[str]]) -> list[list[str]]:
    async for _ in once():
        row = await first_of(rows)
        row.append(await llm("a"))
        other = await last_of(rows)
        other.append(await llm("b"))
        rows.insert(0, [await llm("c")])
    return [*rows, row, other]


async def once() -> AsyncIterator[int]:
    yield 1


async def test_traced_code_gets_its_own_objects_back_on_resume():
    """A recorded call that returned part of its argument returns that very part again."""
    await assert_resumes_anywhere(keeps_what_is_returned, [["x"], ["y"]])


@agent
async def passed_through(words: list[str], number: int) -> int:
    for each in range(3):
        for word in words:
            try:
                each = each + 1
            except ValueError:
                await write(word)
            except LookupError:
                number = -1
            await llm((word, "other")[number % 2])
        else:
            number = await written()
    return number


async def test_a_try_passes_on_what_is_still_being_computed():
    """What only a handler assigns need not be there when the body is done."""
    await assert_as_plain(passed_through, ["a", "b"], 4)


@agent
async def passes_on_in_try(words: list[str]) -> list[str]:
    last = "none"
    for word in words:
        last = await llm(f"{last} {word}")
    try:
        other = await llm("x")
    except ValueError:
        last = "failed"
    return [last, other]


@agent
async def passes_on_in_map(words: list[str]) -> list[str]:
    last = "none"
    for word in words:
        last = await llm(f"{last} {word}")
    return [last if await llm(word) else "none" for word in words]


async def test_a_region_may_pass_on_what_is_still_on_its_way():
    """A `try` or map that is done gives what it only captured when that is there."""
    for seed in range(5):
        await assert_as_plain(passes_on_in_try, ["a", "b", "c"], seed=seed)
        await assert_as_plain(passes_on_in_map, ["a", "b", "c"], seed=seed)


@tool(effect="read")
async def refuses(text: str) -> str:
    if text == "b":
        raise ValueError(text)
    return text


@agent
async def ends_a_name(words: list[str]) -> str:
    kept: object = ["first"]
    for word in words:
        for each in kept:  # type: ignore[attr-defined]
            await write(each + word)
        try:
            await refuses(word)
        except ValueError as kept:
            await llm("failed")
    return "none"


@agent
async def returns_a_deleted_name(words: list[str]) -> str:
    kept = "first"
    for word in words:
        if await llm(word) == "b":
            return kept
        del kept
    return "none"


async def test_a_name_that_an_iteration_ends_is_unbound_in_the_next():
    """A name that is deleted, or is an exception's, raises what Python raises when it is read again."""
    await assert_as_plain(ends_a_name, ["a", "b", "c"])
    await assert_as_plain(returns_a_deleted_name, ["a", "b"])


@agent
async def gives_back(values: list[str]) -> list[str]:
    await write(str(len(values)))
    return values


@agent
async def tells_result_from_argument() -> bool:
    values = ["a"]
    same = await gives_back(values)
    return same is values


async def test_a_result_that_is_the_argument_is_so_after_a_crash():
    """`is` says of a result that was read back what it said before."""
    await assert_as_plain(tells_result_from_argument)
    await assert_resumes_anywhere(tells_result_from_argument)


@agent
async def fails_with(values: list[str]) -> int:
    error = LookupError(values)
    error.values = [values]  # type: ignore[attr-defined]
    raise error


@agent
async def changes_what_failed() -> list[str]:
    values = ["a"]
    try:
        await fails_with(values)
    except LookupError as error:
        error.args[0].append(await llm("x"))
        error.values[0].append("y")  # type: ignore[attr-defined]
    return values


async def test_an_exception_holds_the_very_arguments_after_a_crash():
    """What an exception of a call holds of its arguments is theirs also when it is raised again on resume."""
    await assert_as_plain(changes_what_failed)
    await assert_resumes_anywhere(changes_what_failed)


def first_long(words: list[str]) -> str:
    return next(each for each in words if len(each) > 1)


async def ends_an_iterator(word: str) -> str:
    await llm(word)
    return next(iter(()))


@agent
async def asks_until_it_ends(words: list[str]) -> list[str]:
    found: list[str] = []
    rest = iter(words)
    while True:
        try:
            try:
                found.append(await llm(next(rest)))
                await llm(first_long(words[len(found) - 1 :]))
            finally:
                await write(f"{len(found)}")
        except StopIteration as error:
            found.append(repr(error))
            break
    try:
        await ends_an_iterator("end")
    except RuntimeError as error:
        found += [str(error), repr(error.__cause__)]
    return found


async def test_an_iterator_may_end_where_something_is_awaited():
    """A `StopIteration` comes to the handler around it; what leaves an agent is a `RuntimeError`."""
    for words in (["a", "bb"], ["bb", "a", "c"], []):
        await assert_as_plain(asks_until_it_ends, words)
        await assert_resumes_anywhere(asks_until_it_ends, words)
    await assert_as_plain(ends_an_iterator_alone)


@agent
async def ends_an_iterator_alone() -> str:
    return await ends_an_iterator("end")


async def next_of(words: Iterator[str]) -> str:
    return next(words)


@agent
async def ends_within_a_context(words: list[str]) -> list[str]:
    found: list[str] = []
    rest = iter(words)
    try:
        with StringIO() as page:
            page.write(next(rest))
            await write(page.getvalue())
            page.write(next(rest))
            found.append(await llm(page.getvalue()))
    except StopIteration as error:
        found.append(repr(error))
    return found


@agent
async def ends_in_a_coroutine_within_a_context(words: list[str]) -> list[str]:
    found: list[str] = []
    rest = iter(words)
    try:
        with StringIO() as page:
            page.write(await next_of(rest))
            found.append(await llm(page.getvalue()))
    except (StopIteration, RuntimeError) as error:
        found += [repr(error), repr(error.__cause__)]
    return found


@agent
async def ends_within_a_context_alone() -> None:
    with StringIO() as page:
        page.write(await llm("first"))
        page.write(next(iter([])))


async def test_an_iterator_may_end_in_code_that_runs_as_it_is():
    """Its `StopIteration` comes to the handler around it, a coroutine's as a `RuntimeError`."""
    for words in (["a", "b", "c"], ["a", "b"], ["a"], []):
        for program in (ends_within_a_context, ends_in_a_coroutine_within_a_context):
            await assert_as_plain(program, words)
            await assert_resumes_anywhere(program, words)
    await assert_as_plain(ends_within_a_context_alone)


@agent
async def appends_in_turn(words: list[str], others: list[str], times: int) -> int:
    words.append(await llm(f"{times}"))
    if times:
        await appends_in_turn(others, words, times - 1)
    return len(words)


@agent
async def has_both_changed() -> list[object]:
    words: list[str] = []
    size = await appends_in_turn([], words, 2)
    return [words, size]


async def test_what_an_agent_changes_by_calling_itself_is_seen():
    """It changes all that it hands to itself where it changes something, and has wherever it is stopped."""
    await assert_as_plain(has_both_changed)
    await assert_resumes_anywhere(has_both_changed)


@agent
async def has_a_list_appended_to(values: list[str]) -> int:
    size = await appends(values)
    await llm("after")
    return size


@agent
async def passes_a_list_on() -> list[object]:
    values: list[str] = []
    return [await has_a_list_appended_to(values), values]


async def test_what_an_agent_within_an_agent_changed_is_still_changed_after_resume():
    """Also if the last that is recorded is that the inner one's code had run."""
    await assert_as_plain(passes_a_list_on)
    await assert_resumes_anywhere(passes_a_list_on)


@dataclass
class Kept:
    words: list[str]


def shown(kept: Kept) -> list[str]:
    print("shown")
    return kept.words


@agent
async def takes_a_part_in_a_loop(word: str) -> list[object]:
    kept = Kept([word])
    words: list[str] = []
    for number in range(2):
        await llm(f"{number}")
        words = shown(kept)
    words.append(await llm("end"))
    return [kept, words]


async def test_what_a_loop_takes_from_an_object_is_part_of_it_after_resume():
    """Also if the iteration that took it is read back from the journal, and it is changed after the loop."""
    with redirect_stdout(StringIO()):
        await assert_as_plain(takes_a_part_in_a_loop, "a")
        await assert_resumes_anywhere(takes_a_part_in_a_loop, "a")
