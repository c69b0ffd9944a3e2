"""Start-up times: `import agentvm` and `agentvm --help`, against a Python that does nothing.

Prints the median and the best of repeated subprocess runs, which are interleaved
so that a busy moment of the machine touches all of them alike. Then prints which
heavy modules `import agentvm` loaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

HEAVY = ("torch", "vllm", "sqlalchemy", "alembic", "aiosqlite", "asyncpg", "cryptography", "sqlite3")
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import agentvm": ["-c", "import agentvm"],
    "agentvm --help": ["-m", "agentvm", "--help"],
}


def milliseconds(arguments: list[str]) -> float:
    """Wall-clock time of one run of this Python."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000


def loaded() -> dict[str, bool]:
    """Whether each heavy module is there after `import agentvm`."""
    code = f"import json, sys, agentvm; print(json.dumps({{m: m in sys.modules for m in {HEAVY}}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, bool] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--runs", type=int, default=15, help="runs of each command (default: 15)")
    options.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    chosen = options.parse_args()
    for arguments in COMMANDS.values():
        milliseconds(arguments)  # compiles bytecode and warms the file cache
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(chosen.runs):
        for name, arguments in COMMANDS.items():
            times[name].append(milliseconds(arguments))
    bare = statistics.median(times["python -c pass"])
    rows = {
        name: {
            "median_ms": round(statistics.median(found), 1),
            "best_ms": round(min(found), 1),
            "ratio": round(statistics.median(found) / bare, 2),
        }
        for name, found in times.items()
    }
    if chosen.json:
        print(json.dumps({"runs": chosen.runs, "commands": rows, "loaded": loaded()}, indent=2))
        return
    print(f"{'':18}{'median ms':>12}{'best ms':>12}{'x bare':>10}")
    for name, row in rows.items():
        print(f"{name:18}{row['median_ms']:12.1f}{row['best_ms']:12.1f}{row['ratio']:10.2f}")
    found = [module for module, there in loaded().items() if there]
    print(
        f"heavy modules loaded by `import agentvm`: {', '.join(found) or 'none'} "
        f"(looked for {', '.join(HEAVY)})"
    )


if __name__ == "__main__":
    main()
