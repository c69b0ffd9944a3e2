"""Extraction with a check of our own and retries; gives up with an exception that has attributes."""

from pydantic import BaseModel

from agentvm import agent, llm

LOG: list[str] = []


class Person(BaseModel):
    name: str
    age: int


class InvalidPerson(ValueError):
    """No valid person was found."""

    def __init__(self, *, text: str, problems: list[str]) -> None:
        super().__init__(f"{len(problems)} problems in {text}")
        self.text = text
        self.problems = problems


def problem_of(person: Person) -> str | None:
    if person.age < 0:
        return f"{person.name} has age {person.age}"
    return None


@agent
async def extract(text: str, attempts: int = 3) -> Person:
    problems: list[str] = []
    for number in range(attempts):
        hint = f" (not {problems[-1]})" if problems else ""
        person = await llm(f"Extract {number} from {text}{hint}", returns=Person)
        problem = problem_of(person)
        if problem is None:
            return person
        problems.append(problem)
    raise InvalidPerson(text=text, problems=problems)


def script(call):
    number = int(call.prompt.split()[1])
    good = "ann" in call.prompt and number == 1
    return Person(name="Ann", age=31 if good else -1 - number)


CASES = [(extract, ("ann is 31",), {}), (extract, ("bob",), {}), (extract, ("ann", 1), {})]
