"""Objects with state and methods, plain and async, used by an agent between awaits."""

from dataclasses import dataclass, field

from agentvm import agent, llm, tool

LOG: list[str] = []


@tool
async def persist(line: str) -> None:
    LOG.append(line)


@dataclass
class Memory:
    lines: list[str] = field(default_factory=list)
    size: int = 3

    def add(self, line: str) -> "Memory":
        self.lines = [*self.lines, line][-self.size :]
        return self

    @property
    def text(self) -> str:
        return " / ".join(self.lines)

    async def ask(self, question: str) -> str:
        answer = await llm(f"{self.text} ? {question}")
        self.add(answer)
        await persist(answer)
        return answer


@agent
async def converse(questions: list[str]) -> Memory:
    memory = Memory()
    for question in questions:
        memory.add(f"user {question}")
        answer = await llm(f"{memory.text}: {question}")
        memory.add(f"model {answer}").add("--")
    return memory


@agent
async def by_method(questions: list[str]) -> tuple[Memory, list[str]]:
    memory = Memory(size=2)
    answers = [await memory.ask(each) for each in questions]
    return memory, answers


@agent
async def attributes(word: str) -> list[object]:
    memory = Memory([word])
    other = memory
    memory.lines.append(await llm(word))
    other.size += 1
    memory.size = memory.size * await llm("2", returns=int)
    return [memory, other, memory is other]


def script(call):
    return call.prompt if call.prompt == "2" else f"a{len(call.prompt)}"


CASES = [(converse, (["x", "yy"],), {}), (by_method, (["x", "yy", "z"],), {}), (attributes, ("w",), {})]
