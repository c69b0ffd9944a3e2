"""`agentvm bench`: what schedulers make of the same workloads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from agentvm_serving.bench.serving import Row

app = typer.Typer(no_args_is_help=True, help="Measure.")

BAR = 24
"""Characters of the longest bar."""
T = TypeVar("T")


@app.callback()
def bench() -> None:
    """Measure."""


@app.command()
def serving(
    engine: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="replay:cpu135m, vLLM's scheduler in virtual time, or vllm:MODEL, a real engine.",
        ),
    ] = "replay:cpu135m",
    policies: Annotated[str, typer.Option(metavar="A,B", help="Policies to compare.")] = (
        "stock,priority,edf,plas,jit"
    ),
    loads: Annotated[
        str, typer.Option(metavar="X,Y", help="Arrival rates, as multiples of saturation.")
    ] = "0.8,1.2,1.5,2.0",
    seeds: Annotated[str, typer.Option(metavar="N,M", help="Seeds of the workload.")] = "1,2,3",
    items: Annotated[int, typer.Option(metavar="N", help="Requests of a workload.", min=3)] = 180,
    workload: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A workload file instead of a drawn one.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Arrivals and lengths from a trace (CSV or JSON lines, see the docs)."
        ),
    ] = None,
    forecast: Annotated[
        str,
        typer.Option(
            metavar="WHAT", help="What hints tell of later stages: none, patterns, profile or true."
        ),
    ] = "profile",
    slo_scale: Annotated[
        str,
        typer.Option(
            metavar="X",
            help="How much longer than drawn the objectives are; auto: as much as the engine is slower "
            "than the one that they were chosen for.",
        ),
    ] = "1",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all rows to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw goodput by load, as SVG.")
    ] = None,
) -> None:
    """Compare scheduling policies on latency, deadline and compound requests 1:1:1, Poisson arrivals.

    Prints goodput (what was in time) a second by policy and load, with 95 % confidence intervals.
    """
    from agentvm.models import resolve
    from agentvm_compiler.errors import ConfigError
    from agentvm_serving.bench import serving as bench
    from agentvm_serving.bench.engines import engine_named, known_policies
    from agentvm_serving.bench.plot import svg
    from agentvm_serving.workload import SMALL, read
    from agentvm_serving.workload.traces import read_trace

    chosen = [each.strip() for each in policies.split(",")]
    for each in chosen:
        if each not in known_policies():
            known = ", ".join(known_policies())
            raise ConfigError(f"no scheduling policy is called {each!r}. Choose from: {known}")
    rates, numbers = _numbers(loads, float, "--loads"), _numbers(seeds, int, "--seeds")
    stretch = None if slo_scale == "auto" else _numbers(slo_scale, float, "--slo-scale")[0]
    if workload is not None and trace is not None:
        raise ConfigError("--workload and --trace: give one of them, both say what to serve")
    if plot is not None and plot.suffix != ".svg":
        raise ConfigError(f"--plot {str(plot)!r}: only SVG is drawn, give a name that ends in .svg")
    draw = bench.drawn(items)
    if workload is not None:
        draw = bench.from_items(read(workload))
    elif trace is not None:
        draw = bench.traced(read_trace(trace), items)
    rows: list[Row] = []
    with closing(engine_named(engine, lambda name: str(resolve(name)), forecast)) as serves:
        saturated = bench.saturation(serves, draw, numbers)
        typer.echo(f"{engine}: saturated by {saturated:.3f} requests/s", err=True)
        longer = (SMALL.saturated or saturated) / saturated if stretch is None else stretch
        typer.echo(f"objectives: {longer:.2f} times as long as drawn", err=True)
        draw = bench.with_time(draw, longer)
        for row in bench.compare(serves, draw, chosen, rates, numbers, saturated):
            rows.append(row)
            share = f"{row.token_share:.0%} of the tokens in time"
            typer.echo(f"load {row.load:g}, seed {row.seed}, {row.policy}: {share}", err=True)
            if json_file is not None:  # as they come: what was measured is kept whatever happens
                json_file.write_text(json.dumps(bench.as_json(rows), indent=1) + "\n", encoding="utf-8")
    if plot is not None:
        plot.write_text(svg(rows), encoding="utf-8")
    typer.echo(table(rows))


def table(rows: Sequence[Row]) -> str:
    """A line for each policy at each load, with a bar."""
    from agentvm_serving.bench.serving import summarised

    found = summarised(rows)
    most = max(each["token_goodput"].mean for each in found.values()) or 1.0
    width = max(len(policy) for _, policy in found)
    titles = f"{'tokens/s in time':>18}  {'requests/s':>14}  {'all tokens/s':>14}"
    lines = [f"{'load':>5}  {'policy':<{width}}  {titles}"]
    for (load, policy), each in found.items():
        tokens, requests, all_tokens = (each[n] for n in ("token_goodput", "request_goodput", "throughput"))
        bar = "█" * round(BAR * tokens.mean / most)
        lines.append(
            f"{load:>5g}  {policy:<{width}}  {tokens.mean:>9.1f} ± {tokens.half:<6.1f}  "
            f"{requests.mean:>6.2f} ± {requests.half:<5.2f}  {all_tokens.mean:>14.1f}  {bar}"
        )
    return "\n".join(lines)


def _numbers(text: str, of: Callable[[str], T], option: str) -> list[T]:
    from agentvm_compiler.errors import InputError

    try:
        return [of(each) for each in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text!r}: give numbers with commas between, such as 1,2") from None
