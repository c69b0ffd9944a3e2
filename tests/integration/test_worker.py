"""Workers as processes: killed, stopped, and several at once; each run is executed once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ("--llm", "scripted:flow.py:model")
FLOW = """\
import asyncio, os, signal, sys
from pathlib import Path

from agentvm import agent, ask_human, llm, tool
from agentvm.testing import ScriptedLLM

HERE = Path(__file__).parent


@tool
async def send(text: str) -> str:
    with (HERE / "sent.log").open("a") as log:
        log.write(text + "\\n")
    return f"sent {text}"


@tool(effect="read")
async def look(text: str) -> str:
    if (HERE / "hold").exists():
        print("holding", file=sys.stderr, flush=True)
        await asyncio.Event().wait()
    return text


@agent
async def letter(name: str) -> str:
    draft = await llm(f"draft for {name}")
    await send(f"{name} 1")
    seen = await look(draft)
    return await send(f"{name} 2")


@tool(effect="read")
async def crash(name: str) -> str:
    if (HERE / "hold").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return name


@agent
async def deadly(name: str) -> str:
    return await crash(await llm(f"draft for {name}"))


@agent
async def asks(name: str) -> str:
    return await send(await ask_human(f"What for {name}?"))


model = ScriptedLLM(lambda call: call.prompt.upper())
"""


class Workers:
    """Processes of `agentvm` in a folder with `flow.py`, on one store."""

    def __init__(self, folder: Path, store: str) -> None:
        (folder / "flow.py").write_text(FLOW)
        self.folder = folder
        paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
        self.environment = kept | {"PYTHONPATH": os.pathsep.join(paths), "AGENTVM_STORE": store}
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Standard output of a command that ends with that code."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=1200)
        assert process.returncode == code, err
        return out.strip()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentvm", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def worker(self, *arguments: str) -> subprocess.Popen[str]:
        return self.start("worker", "--interval", "50ms", *arguments)

    def queue(self, *names: str, agent: str = "letter") -> list[str]:
        """Ids of runs that were queued by one process."""
        script = (
            "import asyncio, sys\nfrom agentvm import AgentVM\nfrom agentvm.loading import load_agent\n"
            "async def main():\n"
            f"    agent = load_agent({str(self.folder / 'flow.py')!r} + ':{agent}')\n"
            f"    async with AgentVM(llm={MODEL[1]!r}) as vm:\n"
            "        for name in sys.argv[1:]:\n"
            "            print(await vm.enqueue(agent, name))\n"
            "asyncio.run(main())\n"
        )
        command = [sys.executable, "-c", script, *names]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    @property
    def sent(self) -> list[str]:
        log = self.folder / "sent.log"
        return log.read_text().splitlines() if log.exists() else []

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def let_go(self) -> None:
        (self.folder / "hold").unlink()


ONE_STORE = pytest.mark.parametrize("workers", ["sqlite"], indirect=True)


def until(process: subprocess.Popen[str], line: str) -> list[str]:
    """What the process says on standard error, up to a line that has this in it."""
    assert process.stderr is not None
    seen = []
    for each in process.stderr:
        seen.append(each)
        if line in each:
            return seen
    raise AssertionError(f"{line!r} was not said: {''.join(seen)}")


@pytest.fixture(params=["sqlite", "postgres"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workers]:
    store = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        store = new()
    there = Workers(tmp_path, store)
    yield there
    for process in there.started:
        process.kill()
        process.communicate()


def test_another_worker_goes_on_where_one_was_killed(workers: Workers):
    """What was written is not written again; the run is done once, as if nothing had happened."""
    run = workers("run", "flow.py:letter", "-i", "name=ann", "--queue", *MODEL)
    assert workers("runs", "--status", "queued", "--json").count(run) == 1
    workers.hold()
    first = workers.worker()
    until(first, "holding")
    first.kill()
    first.wait()
    assert workers.sent == ["ann 1"]
    workers.let_go()
    second = workers.worker("--once")
    _, said = second.communicate(timeout=1200)
    assert second.returncode == 0
    assert f"{run} taken (running): flow:letter" in said
    assert f"{run} completed" in said
    assert workers.sent == ["ann 1", "ann 2"]
    assert workers("resume", run) == "sent ann 2"


def test_two_workers_execute_every_run_once(workers: Workers):
    """Twenty runs, taken by whoever is first, each by one."""
    names = [f"n{number}" for number in range(20)]
    runs = workers.queue(*names)
    both = [workers.worker("--once", "--concurrency", "3") for _ in range(2)]
    said = [process.communicate(timeout=1200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    taken = Counter(line.split()[1] for each in said for line in each.splitlines() if " taken " in line)
    assert taken == Counter(runs)
    assert sorted(workers.sent) == sorted(f"{name} {part}" for name in names for part in (1, 2))
    assert workers("runs", "--status", "completed", "--json").count('"run"') == 20


@ONE_STORE
def test_a_stopped_worker_leaves_its_runs_to_the_next(workers: Workers):
    """SIGTERM ends it with code 0; its runs can be taken at once."""
    (run,) = workers.queue("ann")
    workers.hold()
    first = workers.worker()
    until(first, "holding")
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=1200)[1]
    assert first.returncode == 0, said
    assert f"{run} let go" in said
    assert said.splitlines()[-1].endswith("worker stopped")
    workers.let_go()
    workers("worker", "--once")
    assert workers.sent == ["ann 1", "ann 2"]


@ONE_STORE
def test_a_worker_goes_on_with_what_was_answered(workers: Workers):
    """A worker that runs all the time takes a suspended run when somebody has answered it."""
    (run,) = workers.queue("ann", agent="asks")
    worker = workers.worker()
    until(worker, "suspended")
    workers("answer", run, "tea", "--no-resume")
    until(worker, f"{run} completed")
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=1200) == 0
    assert workers.sent == ["tea"]


@ONE_STORE
def test_a_worker_runs_code_from_elsewhere(workers: Workers):
    """Where its file is gone a run is left alone, which is said once; `--agents` gives the new place."""
    (run,) = workers.queue("ann")
    (workers.folder / "new").mkdir()
    (workers.folder / "flow.py").rename(workers.folder / "new" / "flow.py")
    model = ("--llm", "scripted:new/flow.py:model")
    first = workers.worker("--once", *model)
    said = first.communicate(timeout=1200)[1]
    assert said.count("left alone") == 1, said
    workers("worker", "--once", "--agents", "new/flow.py", *model)
    log = (workers.folder / "new" / "sent.log").read_text()
    assert log.splitlines() == ["ann 1", "ann 2"]
    assert run in workers("runs", "--status", "completed", "--json")


@ONE_STORE
def test_a_run_that_kills_its_workers_is_set_aside(workers: Workers) -> None:
    """The third worker lives, says so, and leaves it alone; `agentvm resume --retry` goes on with it."""
    [run] = workers.queue("Ada", agent="deadly")
    workers.hold()
    for _ in range(2):
        killed = workers.worker("--once", "--give-up-after", "2")
        killed.communicate(timeout=1200)
        assert killed.returncode == -signal.SIGKILL
    last = workers.worker("--once", "--give-up-after", "2")
    _, said = last.communicate(timeout=1200)
    assert last.returncode == 0
    assert f"{run} failed: Run {run} was set aside: 2 processes in a row died" in said
    workers.let_go()
    assert workers("resume", run, "--retry") == "DRAFT FOR ADA"


@ONE_STORE
def test_a_file_that_kills_who_loads_it_is_set_aside(workers: Workers) -> None:
    """It ends the process before it has an agent; the third worker says so and lives."""
    [run] = workers.queue("Ada")
    flow = workers.folder / "flow.py"
    source = flow.read_text()
    flow.write_text("import os\n\nos._exit(7)\n")
    model = workers.folder / "model.py"
    model.write_text(source)
    options = ("--once", "--give-up-after", "2", "--llm", "scripted:model.py:model")
    for _ in range(2):
        workers("worker", *options, code=7)
    last = workers.worker(*options)
    _, said = last.communicate(timeout=1200)
    assert last.returncode == 0
    assert f"{run} failed: Run {run} was set aside: 2 processes in a row died driving it" in said
    flow.write_text(source)
    assert workers("resume", run, "--retry") == "sent Ada 2"
