"""`agentvm plan`: how many engines a demand takes, and what each policy carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .bench import (
    ArrivalsOf,
    Items,
    Jobs,
    MixOf,
    Seeds,
    Tiers,
    Trace,
    WorkloadFile,
    forecasts,
    known,
    numbers,
    source,
)

if TYPE_CHECKING:
    from agentvm_serving.bench.planning import Capacity


def plan(
    slo: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of requests to be in time.", min=0.01, max=1.0)
    ] = 0.95,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Requests a second to serve: engines are simulated together. Default: ten times what the "
            "first policy carries on one, shared evenly.",
        ),
    ] = None,
    engines: Annotated[
        str, typer.Option(metavar="A,B", help="Engines to choose from: sim:a100, sim:h100, replay:...")
    ] = "sim:a100,sim:h100",
    policies: Annotated[
        str, typer.Option(metavar="A,B", help="Policies to compare; savings are against the first.")
    ] = "fcfs,edf,jit",
    seeds: Seeds = "1,2",
    items: Items = None,
    workload: WorkloadFile = None,
    trace: Trace = None,
    mix: MixOf = None,
    arrivals: ArrivalsOf = "poisson",
    tiers: Tiers = "1=1",
    forecast: Annotated[str, typer.Option(metavar="WHAT", help="What hints tell.")] = "profile",
    jobs: Jobs = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what was found to this file.")
    ] = None,
) -> None:
    """Plan capacity: the load at which each policy breaks, and how many engines a demand takes under each.

    The highest rate of requests with enough of them in time is found by bisection, for one engine. How many
    serve `--rate` is found by simulating so many behind a router that sends calls to the least loaded.
    """
    import json
    from dataclasses import asdict

    from agentvm.models import resolve
    from agentvm_serving.bench.comparing import Comparison, capacities, engines_needed, saturated
    from agentvm_serving.bench.engines import engine_named
    from agentvm_serving.bench.jobs import Workers

    specs = [each.strip() for each in engines.split(",")]
    comparison = Comparison(
        specs,
        source(engines, items, workload, trace, mix, arrivals, tiers),
        known(policies),
        [],
        numbers(seeds, int, "--seeds"),
        forecasts(forecast)[:1],
    )
    for spec in specs:
        engine_named(spec, forecast=forecast).close()
    found: list[Capacity] = []
    counts: list[int] = []
    with Workers(jobs, lambda name: str(resolve(name))) as workers:
        comparison = saturated(workers, comparison)
        for each in capacities(workers, comparison, slo):
            found.append(each)
            typer.echo(f"{each.engine}, {each.policy}: {each.rate:.2f} requests/s", err=True)
            if rate is not None:
                counts.append(engines_needed(workers, comparison, each, rate, slo))
            if json_file is not None:
                rows = [asdict(one) for one in found]
                json_file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    demand = rate or 10 * found[0].rate
    typer.echo(capacity_table(found, demand, slo, counts or [each.replicas(demand) for each in found]))


def capacity_table(found: Sequence[Capacity], demand: float, slo: float, counts: Sequence[int]) -> str:
    """A line for each engine and policy.

    Args:
        counts: engines that each needs.
    """
    width = max(len(each.engine) for each in found)
    head = (
        f"{'engine':<{width}}  {'policy':<12}  {'requests/s':>10}  {'load':>5}  {'engines':>7}  {'saved':>6}"
    )
    lines = [f"{slo:.0%} of {demand:.2f} requests/s in time", head]
    for each, needed in zip(found, counts, strict=True):
        before = next(n for one, n in zip(found, counts, strict=True) if one.engine == each.engine)
        saved = f"{1 - needed / before:.0%}" if before and needed else ""
        count = str(needed) if needed else "none can"
        lines.append(
            f"{each.engine:<{width}}  {each.policy:<12}  {each.rate:>10.2f}  {each.load:>5.2f}  "
            f"{count:>7}  {saved:>6}"
        )
    return "\n".join(lines)
