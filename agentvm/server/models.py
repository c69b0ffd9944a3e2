"""What the API takes and gives. Moments are Unix seconds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from agentvm.durations import seconds
from agentvm_compiler.errors import ConfigError

RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
RunId = Annotated[str, StringConstraints(pattern=RUN_ID)]
"""Of runs started here: safe in a URL, a header, a file name and a shell."""

Status = Literal[
    "queued",
    "running",
    "interrupted",
    "suspended",
    "uncertain",
    "completed",
    "failed",
    "cancelled",
    "deadline_missed",
]
State = Literal["done", "failed", "running", "started", "waiting", "given"]


MOST = 10**12
"""No count that is asked for is as large."""


class Given(BaseModel):
    """Something a client sends."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """An error (RFC 9457): what, where, and what to do."""

    type: str = Field(description="`urn:agentvm:` and the kind of error.")
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(
        default=None, description="Of invalid input: where, and what."
    )


class Tokens(BaseModel):
    input: int = 0
    output: int = 0
    cached: int = Field(default=0, description="Of the input tokens, those served from a prefix cache.")


class Active(BaseModel):
    """A call that is under way."""

    path: str
    started_at: float


class Progress(BaseModel):
    """How far a run is that this server drives."""

    executed: int
    reused: int
    tokens: Tokens
    running: list[Active]


class Run(BaseModel):
    """A run, as lists show it."""

    id: str
    agent: str = Field(description="`module:name`.")
    status: Status
    created_at: float
    finished_at: float | None = None
    deadline_at: float | None = None
    deadline_met: bool | None = Field(default=None, description="None without a deadline, or before the end.")
    parent: str | None = Field(default=None, description="The run it was forked from.")
    difference: str = Field(default="", description="Of a fork: what it overrides.")
    events: int = Field(default=0, description="Length of its journal.")
    progress: Progress | None = Field(default=None, description="If this server drives it.")


class Question(BaseModel):
    """A question that waits for a person."""

    path: str
    question: str
    answer_schema: dict[str, Any] = Field(description="JSON Schema of the answer.")
    asked_at: float
    problem: str | None = Field(default=None, description="Why an earlier answer was refused.")


class Doubt(BaseModel):
    """A write that was started and whose outcome is not known."""

    path: str
    site: str
    started_at: float


class RunDetail(Run):
    """One run, with what was given and what came of it."""

    program: str = Field(description="Hash of the compiled program.")
    llm: str = ""
    file: str | None = None
    served: bool = Field(description="Whether its agent is registered here, so that it can go on here.")
    inputs: Any = None
    result: Any = None
    error: str | None = None
    tokens: Tokens = Field(description="That this run paid for.")
    nodes: int = Field(description="Nodes with a result, inherited ones not counted.")
    inherited: int = Field(default=0, description="Of a fork: results taken over.")
    questions: list[Question] = []
    in_doubt: list[Doubt] = []


class RunPage(BaseModel):
    """Some runs, newest first."""

    runs: list[Run]
    next: str | None = Field(
        default=None, description="Give it as `after` for the next page; None on the last."
    )


class Served(BaseModel):
    """What the engine's scheduler noted of one request. Moments are on the engine's clock."""

    queued_at: float
    started_at: float | None = Field(default=None, description="When it was first worked on.")
    finished_at: float | None = None
    held_seconds: float = Field(
        default=0.0, description="Of its wait, held back though the engine had room for more."
    )
    preempted_at: list[float] = Field(default=[], description="When it had to give up its memory.")
    updates: int = Field(default=0, description="How often its hints were changed.")
    expected_tokens: int = Field(default=0, description="Output tokens expected of it when it came.")
    outcome: str = Field(default="", description="met, missed, no_objective, refused, aborted; or open.")
    why: str = Field(default="", description="Why it was refused, or served best effort.")


class Node(BaseModel):
    """One execution of a node of the program."""

    path: str
    site: str
    kind: str = Field(description="llm, tool, agent, python, human, traced, ...")
    state: State
    source: str = Field(description="executed, memo, shared, person, given, inherited.")
    reused: bool = Field(description="Whether the work was not done in this run's last attempt.")
    run: str = Field(description="The run that recorded it.")
    seq: int = Field(default=0, description="Position in that run's journal; 0 if it is not there.")
    started_at: float | None = None
    finished_at: float | None = None
    tokens: Tokens | None = None
    ttft: float | None = Field(default=None, description="Seconds to the first token.")
    deadline: float | None = Field(default=None, description="What the call was sent with.")
    slack: float | None = Field(default=None, description="Seconds left before that when it was done.")
    served: list[Served] = Field(
        default=[], description="The scheduler's account of its requests, where it has told."
    )
    error: str | None = None


class NodePage(BaseModel):
    """Nodes in the order in which they came, inherited ones first."""

    nodes: list[Node]
    total: int


class Operand(BaseModel):
    """A value that a node reads."""

    name: str
    known: bool = Field(description="Whether the journal tells it.")
    value: Any = None


class NodeDetail(Node):
    """One node with all that is known of it."""

    key: str = Field(description="Execution key: the hash of all the result depends on.")
    code: str = ""
    line: int | None = None
    effect: str = ""
    inputs: list[Operand] = []
    prompt: str | None = Field(default=None, description="Of a model call, as far as its inputs tell.")
    output: Any = None
    why: str = Field(default="", description="Why it was executed, or where its result came from.")
    attempts: list[dict[str, Any]] = Field(default=[], description="Failed attempts before.")
    detail: dict[str, Any] = Field(
        default={}, description="What the journal says beside: times, finish reason, ..."
    )
    hints: dict[str, Any] | None = Field(default=None, description="What the scheduler was told.")
    schedule: list[dict[str, Any]] = Field(
        default=[], description="All that the engine says of the call, while it keeps it."
    )


class Edge(BaseModel):
    source: str = Field(description="Site.")
    target: str = Field(description="Site.")
    kind: Literal["value", "order"] = Field(description="Carries a value, or only orders effects.")


class GraphNode(BaseModel):
    """A node of a program."""

    site: str = Field(description="Its name in paths.")
    kind: str
    label: str
    code: str = ""
    effect: str
    line: int
    callee: str | None = Field(default=None, description="Of an agent call: the program called.")
    gives: list[str] = Field([], description="Variables it gives values to, which a fork may set.")
    regions: list[GraphRegion] = []


class GraphRegion(BaseModel):
    """A region: an acyclic graph of nodes. A box."""

    title: str = Field(description="then, else, body, ...")
    params: list[str]
    nodes: list[GraphNode]
    edges: list[Edge]


class GraphProgram(BaseModel):
    name: str = Field(description="`module:name` of the agent.")
    file: str = ""
    body: GraphRegion


class Graph(BaseModel):
    """The program of a run and those of the agents it calls; the run's own comes first."""

    hash: str
    programs: list[GraphProgram]


class Tree(BaseModel):
    """A run and those forked from it."""

    run: str
    status: Status
    difference: str = ""
    created_at: float
    forks: list[Tree] = []


class DiffSide(BaseModel):
    present: bool
    source: str = ""
    value: Any = None
    error: str | None = None


class DiffRow(BaseModel):
    path: str
    kind: str
    how: str
    parted: bool
    a: DiffSide
    b: DiffSide


class Diff(BaseModel):
    """Two runs side by side."""

    a: Run
    b: Run
    same_inputs: bool
    same_program: bool
    same_result: bool
    same: int = Field(description="Nodes with equal results.")
    rows: list[DiffRow]


class AgentInfo(BaseModel):
    """An agent that can be started here."""

    name: str
    ref: str = Field(description="`module:name`, as runs record it.")
    doc: str = ""
    signature: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of `inputs`.")
    deadline: float | None = Field(default=None, description="Seconds, unless a run gives its own.")


def _seconds(value: Any) -> Any:
    """A duration as seconds, for pydantic."""
    if value is None or isinstance(value, bool):
        return value
    try:
        return seconds(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


LONGEST = 10 * 365 * 86_400.0
"""Seconds that anything here may be told to take."""
Time = Annotated[
    Annotated[float, Field(le=LONGEST)] | None,
    BeforeValidator(_seconds, json_schema_input_type=str | float | None),
]


class Deadline(Given):
    deadline: Time = Field(
        default=None, description='Time for the run: seconds, or text such as "30s".', examples=["30s"]
    )
    on_deadline: Literal["cancel", "best_effort"] | None = None
    budget: BudgetLimits | None = None


class BudgetLimits(Given):
    tokens: int | None = Field(default=None, ge=1, le=MOST)
    calls: int | None = Field(default=None, ge=1, le=MOST)
    seconds: float | None = Field(default=None, gt=0, le=LONGEST)


class StartRun(Deadline):
    """A run to be started."""

    agent: str = Field(description="Name or `module:name` of a registered agent.", max_length=512)
    inputs: dict[str, Any] = {}
    concurrency: int | None = Field(
        default=None, ge=1, le=MOST, description="Calls of the run under way at once."
    )
    id: RunId | None = Field(
        default=None,
        description="A name of your own. The same one twice is refused, so a retry starts nothing twice.",
    )
    memo: bool = Field(default=True, description="Whether it uses, and leaves, results that runs share.")


class ForkRun(Deadline):
    """How a fork differs from its parent."""

    at: str | None = Field(
        default=None, description="A place done again: a path, or a variable, tool or agent."
    )
    set: dict[str, Any] = Field(default={}, description="Values in place of results or inputs, by name.")
    id: RunId | None = None
    memo: bool = True


class Answer(Given):
    value: Any = Field(description="The answer, of the question's JSON Schema.")
    node: str | None = Field(default=None, description="The question's path; None if it is the only one.")


class Resolve(Given):
    """What became of a write in doubt."""

    outcome: Literal["done", "retry", "abort"]
    node: str | None = Field(default=None, description="The write's path; None if it is the only one.")
    value: Any = Field(default=None, description="Of `done`: its result.")


class Resume(Given):
    retry: bool = Field(default=False, description="Try again what ended a failed run.")
    budget: BudgetLimits | None = None


class Accepted(BaseModel):
    """A run that was started, or changed."""

    run: Run


Model = Literal["ready", "starting", "failed", "none"]
"""Of the model API: `none` if this server has none, or has not been asked for it yet."""


class Health(BaseModel):
    status: Literal["ok", "starting", "closing"]
    version: str
    store: bool = True
    model: Model = "none"
    runs: int = Field(default=0, description="Runs this server drives.")
