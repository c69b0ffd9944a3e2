"""A `try` body that fails in the middle of nested statements; the handler reads what they had assigned."""

from agentvm import agent, llm, tool

LOG: list[str] = []


class Failed(Exception):
    """A step failed, as it was told to."""


@tool
async def step(name: str, fails: str) -> str:
    if name == fails:
        raise Failed(name)
    LOG.append(name)
    return name.upper()


@tool
async def note(text: str) -> None:
    LOG.append(f"note {text}")


def check(name: str, fails: str) -> str:
    if name == fails:
        raise Failed(name)
    return name.title()


@agent
async def branches(fails: str) -> str:
    state = "new"
    kind = await llm("kind")
    try:
        if await step("test", fails):
            state = await step("then", fails)
            kind = state + await llm(state)
            if len(fails) < 9:
                inner = await step("inner", fails)
                state = check("python", fails)
        else:
            kind = "never"
        state += await step("after", fails)
    except Failed as error:
        await note(f"{error} {state}")
        return f"{state} {kind} {await llm(str(error))}"
    return f"{state} {kind} {inner}"


@agent
async def loops(fails: str) -> list[str]:
    done: list[str] = []
    last = "none"
    try:
        for number in range(3):
            last = await step(f"first{number}", fails)
            done.append(last)
            second = await step(f"second{number}", fails)
            done.append(second)
            last = check(f"third{number}", fails)
    except Failed:
        await note(f"{last} {number} {done}")
        summary = await llm(f"{last} of {len(done)}")
        done.append(summary)
    return [*done, last]


@agent
async def waits(fails: str) -> tuple[object, ...]:
    turn = 0
    answer = ""
    try:
        while await step(f"test{turn}", fails) and turn < 3:
            turn += 1
            if turn == 2:
                continue
            answer = await step(f"turn{turn}", fails)
        else:
            answer = await step("else", fails)
            turn = 10
    except Failed as error:
        return turn, answer, str(error), await llm(f"{turn}")
    return turn, answer


@agent
async def iterators(fails: str) -> tuple[object, ...]:
    """The iterator fails, after items whose bodies assign."""
    seen = 0
    word = "none"
    try:
        for number in map(int, [*"12", fails]):
            seen += 1
            word = await llm(f"{number}")
    except ValueError:
        await note(f"{seen} {word}")
        return seen, word, number
    return seen, word


@agent
async def no_items(fails: str) -> tuple[object, ...]:
    seen = [await llm("seen")]
    try:
        for each in check("items", fails):
            seen.append(await step(each, fails))
        for last in map(int, [fails]):
            seen.append(await llm(str(last)))
    except (Failed, ValueError) as error:
        return type(error).__name__, seen
    finally:
        await note(f"{seen}")
    return ("all", seen)


@agent
async def expressions(fails: str) -> tuple[object, ...]:
    first = second = "-"
    flag = await llm(fails) == fails
    try:
        first = await step("a", fails) if flag else "b"
        both = flag and (second := await step("c", fails)) and await step("d", fails)
        third = [await step(each, fails) for each in ("e", "f")]
        total = (first := "walrus") + await step("g", fails)
        first, second = check("h", fails), check("i", fails)
        second = (first := "last") + check("j", fails)
    except Failed:
        await note(f"{first} {second}")
        return first, second
    return first, second, both, third, total


@agent
async def choices(fails: str) -> tuple[object, ...]:
    name, found = "", "none"
    try:
        match fails:
            case "one":
                found = "1"
                name = await step("one", fails)
            case "two" | "three" as name if check("two", fails):
                found = await step("three", fails)
            case str() as name:
                found = await llm(name)
                name = await step("four", fails)
    except Failed:
        return "failed", name, found
    return name, found


@agent
async def inner_handlers(fails: str) -> tuple[object, ...]:
    state, tried = "new", 0
    try:
        state = "outer"
        try:
            tried += 1
            state = await step("body", fails[:4])
            tried += 1
            state = await step("more", fails[:4])
        except Failed:
            tried += 10
            state = f"{state}+handled"
            state = await step("handler", fails[4:])
            tried += 10
        else:
            state = await step("else", fails[:4])
        tried += 100
        await step("rest", fails[4:])
    except Failed as error:
        await note(f"{state} {tried} {error}")
        return state, tried
    return "fine", state, tried


@agent
async def inner_finally(fails: str) -> tuple[object, ...]:
    state, tried, left = "new", 0, "-"
    try:
        for number in range(2):
            try:
                tried += 1
                state = await step(f"body{number}", fails[:5])
                if number:
                    break
            finally:
                left = state
                tried += 10
                state = await llm(f"finally{number}")
                if fails[5:]:
                    state = await step(f"last{number}", fails[5:])
                tried += 100
    except Failed as error:
        await note(f"{state} {tried} {left}")
        return state, tried, left, number, str(error)
    return "fine", state, tried, left


@agent
async def unhandled(fails: str) -> tuple[object, ...]:
    """The inner handlers take other exceptions, or raise what they took."""
    count = 0
    try:
        try:
            count += 1
            await step("one", fails)
            count += 1
            text = check("two", fails)
        except KeyError:
            count += 10
        except Failed as error:
            count += 20
            if str(error) == "two":
                raise
            kept = str(error)
            raise LookupError(kept) from error
        count += 5
        await step("three", fails)
    except LookupError as error:
        return "lookup", count, kept, error.args
    except Failed:
        return "failed", count
    return count, text


@agent
async def handlers_name(fails: str) -> tuple[object, ...]:
    """The name of an exception ends with its handler, however that is left."""
    error: object = "before"
    try:
        try:
            await step("body", fails)
        except Failed as error:
            try:
                await step("inner", fails[4:])
                await note(f"{error}")
            finally:
                await note(f"finally {error}")
            error = await step("handler", fails[4:])
        await step("after", fails)
    except Failed as another:
        try:
            return f"{another}", f"{error}"
        except NameError:
            return f"{another}", "unbound"
    return "fine", f"{error}" if fails == "" else "-"


@agent
async def unbound(fails: str) -> tuple[object, ...]:
    first = "bound"
    try:
        if fails != "start":
            second = await step("a", fails)
            del first
        await step("b", fails)
        first = second
        for third in ("x", "y"):
            await step(third, fails)
    except (Failed, NameError) as error:
        name = type(error).__name__
        try:
            return name, first
        except NameError:
            await llm("unbound")
        try:
            return name, second, third
        except NameError:
            await note(f"{second}")
    return "fine", second, third


@agent
async def in_place(fails: str) -> tuple[object, ...]:
    """Plain Python that changes something half-way."""
    found: list[str] = []
    table = {"a": await llm("a")}
    number = 0
    try:
        found.extend(check(each, fails) for each in ("a", "b", "c"))
        for number, each in enumerate(found):
            table[each] = check(f"put{number}", fails)
        a, (b, table["pair"]) = 1, (2, check("pair", fails))
        b = table["last"] = number = len(check("last", fails))
        await step("end", fails)
    except Failed:
        await note(f"{found} {sorted(table)}")
        return found, table, number
    return found, table, number, a, b


@agent
async def leaves(fails: str) -> tuple[object, ...]:
    results: list[object] = []
    state = "none"
    for number in range(4):
        try:
            state = f"start{number}"
            if number == 1:
                state = await step("one", fails)
                continue
            if number == 2:
                results.append(await step("two", fails))
                if fails == "return":
                    return ("returned", state, results)
            if number == 3:
                break
            state = await step(f"end{number}", fails)
        except Failed:
            results.append(state)
        finally:
            await note(f"{number} {state} {len(results)}")
    return (results, state)


@agent
async def once_more(fails: str) -> tuple[object, ...]:
    """What a failed attempt left is what the next one begins with."""
    draft, tries = "", 0
    while tries < 4:
        tries += 1
        try:
            for part in ("x", "y"):
                draft += part
                written = await step(f"{part}{tries}", fails)
                draft += await llm(written)
            await step("done", f"done{fails}"[: 4 if tries < 2 else 5])
        except Failed:
            continue
        break
    return draft, tries


@agent
async def waited(items: list[str], fails: str) -> str:
    """Its own handling, of names that the caller has, too."""
    state = "inner"
    try:
        for state in items:
            await step(state, fails)
    except Failed:
        await note(state)
        raise
    return state


@agent
async def callees(fails: str) -> tuple[object, ...]:
    state, items = "outer", ["p", "q"]
    try:
        state = await waited(items, fails)
        items = [state]
        state = await waited(["r", "s"], fails)
    except Failed as error:
        return state, items, error.args
    return state, items


def script(call):
    return call.prompt[::-1] if len(call.prompt) > 1 else call.prompt


FAILURES = {
    branches: ["", "test", "then", "inner", "python", "after", "something else"],
    loops: ["", *(f"{each}{number}" for number in range(3) for each in ("first", "second", "third"))],
    waits: ["", "test0", "turn1", "test1", "test2", "turn3", "test3", "else"],
    iterators: ["3", "x"],
    no_items: ["", "items", "I", "e", "s", "7"],
    expressions: ["", *"acdefghij", "aa"],
    choices: ["one", "two", "three", "four", "five"],
    inner_handlers: ["", "body", "more", "bodyhandler", "morerest", "morehandler", "else", "    rest"],
    inner_finally: ["", "body0", "body1", "     last0", "     last1", "body1last1", "body0last0"],
    unhandled: ["", "one", "two", "three"],
    handlers_name: ["", "body", "bodyinner", "bodyhandler", "after"],
    unbound: ["", "start", "a", "b", "x", "y"],
    in_place: ["", "a", "c", "put0", "put2", "pair", "last", "end"],
    leaves: ["", "one", "two", "end0", "return"],
    once_more: ["", "x1", "y1", "y2"],
    callees: ["", "p", "q", "r", "s"],
}
CASES = [(each, (fails,), {}) for each, failures in FAILURES.items() for fails in failures]
