"""Load on `agentvm serve`: many runs at once through the HTTP API, or a soak.

    python -m benchmarks.serve                     200 concurrent runs of a 20-node agent
    python -m benchmarks.serve --soak 10m          as many again and again: memory and open files over time

The server is a process of its own, on a new SQLite store; the model is a
scripted one that answers at once, so what is measured is the API, the runtime
and the store. Clients start a run, follow its events to the end and read the
result, each over a connection each. With `--soak` finished runs are removed
(`agentvm gc`'s way), as whoever serves for long does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

AGENT = '''\
"""Twenty nodes: a chain of model calls and tools, with a fan-out in the middle."""

from agentvm import agent, llm, tool
from agentvm.testing import ScriptedLLM


@tool(effect="read")
async def look(text: str) -> str:
    return text[:40]


@agent(deadline="10m")
async def twenty(topic: str) -> str:
    text = topic
    for _ in range(5):
        found = await look(text)
        text = await llm(f"next step on {found}")
    notes = [await llm(f"note {number} on {text}") for number in range(8)]
    found = await look(notes[0])
    return await llm(f"end with {found} of {len(notes)}")


model = ScriptedLLM(lambda call: f"answer to {call.prompt[:30]}")
model.calls = type("Forgetful", (list,), {"append": lambda self, call: None})()
'''
NODES = 20


class Server:
    """`agentvm serve` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "load.py").write_text(AGENT)
        self.store = f"sqlite+aiosqlite:///{folder}/runs.db"
        command = [sys.executable, "-m", "agentvm", "serve", "load.py:twenty", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--llm", "scripted:load.py:model", "--store", self.store],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.url = ""
        for line in self.process.stderr:
            if line.startswith("AgentVM serves"):
                self.url = line.split()[-1]
            if line.startswith("agents:"):
                break
        # It says a line a run: a full pipe would hold it up.
        threading.Thread(target=deque, args=(self.process.stderr, 0), daemon=True).start()

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def files(self) -> int:
        """Open files, sockets included."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


class Client:
    """Starts runs and follows them; notes how long each kind of request took until its answer began.

    It speaks HTTP/1.0 over plain sockets: a client library takes more of the processor than the server.
    """

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port = str(place.hostname), place.port
        self.times: dict[str, list[float]] = {"start": [], "events": [], "result": []}
        self.lost: list[str] = []

    async def ask(self, kind: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and body of an answer."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
        answered = await reader.readuntil(b"\r\n\r\n")
        if kind:
            self.times[kind].append(time.perf_counter() - began)
        text = (await reader.read(-1)).decode()
        writer.close()
        return int(answered.split()[1]), text

    async def run(self, number: int) -> None:
        """One run, from its start to its result."""
        body = {"agent": "twenty", "inputs": {"topic": f"topic {number}"}}
        status, text = await self.ask("start", "POST", "/v1/runs", body)
        if status != 201:
            self.lost.append(f"start: {status} {text[:100]}")
            return
        run = json.loads(text)["run"]["id"]
        _, text = await self.ask("events", "GET", f"/v1/runs/{run}/events")
        numbers = [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]
        found = json.loads((await self.ask("result", "GET", f"/v1/runs/{run}"))[1])
        whole = numbers == list(range(1, len(numbers) + 1)) and len(numbers) == found["events"]
        if found["status"] != "completed" or found["nodes"] < NODES or not whole:
            self.lost.append(f"{run}: {found['status']}, {found['nodes']} nodes, {len(numbers)} events")


async def burst(client: Client, runs: int) -> float:
    """All runs at once; seconds until the last has ended."""
    began = time.perf_counter()
    await asyncio.gather(*(client.run(number) for number in range(runs)))
    return time.perf_counter() - began


def percentile(times: list[float], share: float) -> float:
    """Milliseconds."""
    return 1000 * sorted(times)[min(len(times) - 1, int(share * len(times)))]


async def load(runs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="agentvm-load-") as folder:
        server = Server(Path(folder))
        try:
            client = Client(server.url)
            await burst(client, 5)  # imports, compiles, and fills caches
            client.times = {name: [] for name in client.times}
            before = server.cpu_seconds
            mine = time.process_time()
            seconds = await burst(client, runs)
            used, mine = server.cpu_seconds - before, time.process_time() - mine
            _, scraped = await client.ask("", "GET", "/metrics")
        finally:
            server.stop()
    everything = [each for times in client.times.values() for each in times]
    return {
        "runs": runs,
        "lost": client.lost,
        "seconds": round(seconds, 2),
        "runs_per_second": round(runs / seconds, 1),
        "server_cpu_ms_per_run": round(1000 * used / runs, 2),
        "client_cpu_ms_per_run": round(1000 * mine / runs, 2),
        "load_average": os.getloadavg()[0],
        "api_ms": {
            name: {"p50": round(percentile(times, 0.5), 1), "p99": round(percentile(times, 0.99), 1)}
            for name, times in {**client.times, "all": everything}.items()
        },
        "server_side": [each for each in scraped.splitlines() if each.startswith("agentvm_runs_ended_total")],
    }


async def soak(runs: int, seconds: float) -> dict[str, Any]:
    """Bursts until the time is over, with memory and open files after each."""
    from agentvm_runtime.retention import Policy, expendable
    from agentvm_runtime.store import open_store

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="agentvm-soak-") as folder:
        server = Server(Path(folder))
        client = Client(server.url)
        store = open_store(server.store)
        await store.open()
        try:
            began, done = time.monotonic(), 0
            while time.monotonic() - began < seconds:
                await burst(client, runs)
                done += runs
                over = expendable(await store.list_runs(limit=10**6), Policy(last=runs), time.time())
                await store.collect([each.id for each in over])
                row = {"seconds": round(time.monotonic() - began), "runs": done}
                rows.append({**row, "megabytes": round(server.megabytes, 1), "files": server.files})
        finally:
            await store.aclose()
            server.stop()
    half = rows[len(rows) // 2 :] or rows
    return {
        "runs": done,
        "lost": client.lost,
        "rows": rows[:: max(1, len(rows) // 20)],
        "megabytes": [rows[0]["megabytes"], half[0]["megabytes"], rows[-1]["megabytes"]],
        "kilobytes_per_run_in_second_half": round(
            1000
            * (half[-1]["megabytes"] - half[0]["megabytes"])
            / max(1, half[-1]["runs"] - half[0]["runs"]),
            3,
        ),
        "files": [rows[0]["files"], max(each["files"] for each in half), rows[-1]["files"]],
        "p99_ms": {name: round(percentile(times, 0.99), 1) for name, times in client.times.items()},
        "median_ms": {
            name: round(1000 * statistics.median(times), 1) for name, times in client.times.items()
        },
    }


def main() -> None:
    """Measure and print one JSON document."""
    from agentvm.durations import seconds

    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--runs", type=int, default=200, help="runs at once (default: 200)")
    options.add_argument("--soak", metavar="DURATION", help="repeat for so long, and watch memory and files")
    chosen = options.parse_args()
    work = load(chosen.runs) if chosen.soak is None else soak(chosen.runs, seconds(chosen.soak))
    found = asyncio.run(work)
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["lost"] else 0)


if __name__ == "__main__":
    main()
