"""`agentvm bench`: what schedulers make of the same workloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from agentvm_serving.bench.claims import Claim
    from agentvm_serving.bench.comparing import Comparison
    from agentvm_serving.bench.serving import Row
    from agentvm_serving.bench.sources import Source
    from agentvm_serving.workload.kinds import Kind

app = typer.Typer(no_args_is_help=True, help="Measure.")

BAR = 24
"""Characters of the longest bar."""
PAPER = "chat=1,deadline=1,research=1"
"""The classes of JITServe's comparison."""
PROGRAM = "program:"
"""With this the name of a compiled program begins, as a kind of requests."""
T = TypeVar("T")

Engine = Annotated[
    str,
    typer.Option(
        metavar="SPEC",
        help="sim:a100 or sim:h100, a simulated GPU; replay:..., vLLM's own scheduler in virtual time "
        "(cpu135m, a100, h100); vllm:MODEL, a real engine.",
    ),
]
Policies = Annotated[str, typer.Option(metavar="A,B", help="Policies to compare.")]
Seeds = Annotated[str, typer.Option(metavar="N,M", help="Seeds of the workload.")]
Items = Annotated[
    int | None,
    typer.Option(metavar="N", help="Requests of a workload. Default: 180, on a GPU 2,000.", min=3),
]
WorkloadFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A workload file instead of a drawn one.")
]
Trace = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Arrivals and lengths from a trace (CSV or JSON lines, see the docs)."),
]
MixOf = Annotated[
    str | None,
    typer.Option(
        "--mix",
        metavar="KIND=WEIGHT,...",
        help="Kinds of requests: chat, deadline, research, tree, agent, consistency; KIND@FILE draws "
        f"from a trace. Default on a GPU: {PAPER}.",
        show_default=False,
    ),
]
ArrivalsOf = Annotated[
    str, typer.Option("--arrivals", metavar="HOW", help="Of a mix: poisson, gamma:CV (bursts), trace:FILE.")
]
Tiers = Annotated[
    str,
    typer.Option(metavar="X=WEIGHT,...", help="Of a mix: how much longer its objectives are, by weight."),
]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Processes. Default: one a processor; a real engine has one.", min=1),
]
SloScale = Annotated[
    str,
    typer.Option(
        metavar="X",
        help="How much longer than drawn the objectives are; auto: as much as the engine is slower "
        "than the one that they were chosen for.",
    ),
]


@app.callback()
def bench() -> None:
    """Measure."""


@app.command()
def serving(
    engine: Engine = "replay:cpu135m",
    policies: Policies = "stock,priority,edf,plas,jit",
    loads: Annotated[
        str, typer.Option(metavar="X,Y", help="Arrival rates, as multiples of saturation.")
    ] = "0.8,1.2,1.5,2.0",
    seeds: Seeds = "1,2,3",
    items: Items = None,
    workload: WorkloadFile = None,
    trace: Trace = None,
    mix: MixOf = None,
    arrivals: ArrivalsOf = "poisson",
    tiers: Tiers = "1=1",
    forecast: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="What hints tell of later stages: opaque, none, patterns, profile or true; also "
            "profile-PART, a compiled program's hints without a part.",
        ),
    ] = "profile",
    slo_scale: SloScale = "1",
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Repeat on step-time models at the ends of their ranges, and say what survives.",
        ),
    ] = False,
    subject: Annotated[
        str, typer.Option(metavar="POLICY", help="Which policy is compared with each other one.")
    ] = "jit",
    within: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Begin no further run that would not be done by then, such as 10m; the same command with "
            "the same --json goes on.",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Of a real engine: repeat runs in which the machine was not as fast as mostly."
        ),
    ] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Keep how many calls ran and waited, for --plot.")
    ] = False,
    jobs: Jobs = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write all rows to this file; what it has already is not run again.",
        ),
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all rows as a table.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw what came of it, as SVG.")
    ] = None,
) -> None:
    """Compare scheduling policies on the same workloads.

    Prints goodput (what was in time) a second by policy and load, with 95 % confidence intervals. Without a
    workload, a trace or a mix the requests are latency, deadline and compound ones 1:1:1.
    """
    from agentvm.durations import optional_seconds
    from agentvm_compiler.errors import ConfigError
    from agentvm_serving.bench.claims import claims
    from agentvm_serving.bench.comparing import Comparison, sensitive
    from agentvm_serving.bench.drift import drifted
    from agentvm_serving.bench.plot import picture
    from agentvm_serving.bench.results import read_json, write_csv

    if plot is not None and plot.suffix != ".svg":
        raise ConfigError(f"--plot {str(plot)!r}: only SVG is drawn, give a name that ends in .svg")
    comparison = Comparison(
        [engine],
        source(engine, items, workload, trace, mix, arrivals, tiers),
        known(policies),
        numbers(loads, float, "--loads"),
        numbers(seeds, int, "--seeds"),
        forecasts(forecast),
    )
    if sensitivity:
        comparison = sensitive(comparison)
    before = read_json(json_file) if json_file is not None else []
    if again:
        before = [row for row in before if row not in drifted(before)]
    pieces = optional_seconds(within, what="--within")
    rows = _run(comparison, slo_scale, before, json_file, jobs, pieces, timelines=timeline)
    if not rows:
        return
    if csv_file is not None:
        write_csv(rows, csv_file)
    shown = [row for row in rows if row.engine == engine]
    if plot is not None:
        plot.write_text(picture(shown), encoding="utf-8")
    typer.echo(table(shown))
    if len({row.seed for row in shown}) > 1 and len({row.policy for row in shown}) > 1:
        typer.echo(pairs(shown, subject))
    if sensitivity:
        typer.echo(verdicts(list(claims(rows, subject)), subject))


@app.command("workload")
def draw(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The workload file; .gz compresses it.")],
    rate: Annotated[float, typer.Option(metavar="X", help="Requests a second, on average.")] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of what is drawn.")] = 1,
    items: Items = 1000,
    trace: Trace = None,
    mix: Annotated[
        str,
        typer.Option(
            "--mix",
            metavar="KIND=WEIGHT,...",
            help="Kinds of requests, as for `serving`; also program:NAME (research, tree, coder, "
            "consistency) and program:FILE.py:AGENT: compiled programs, with their hints.",
        ),
    ] = PAPER,
    arrivals: ArrivalsOf = "poisson",
    tiers: Tiers = "1=1",
    small: Annotated[
        bool, typer.Option("--small", help="Lengths and objectives for a small model on a CPU.")
    ] = False,
) -> None:
    """Draw a workload into a file, to be served by any engine: `agentvm bench serving --workload FILE`."""
    from dataclasses import replace

    from agentvm_serving.bench.sources import Source, mix_of
    from agentvm_serving.workload import write

    count, scale = items or 1000, "small" if small else "large"
    if trace is not None:
        drawn = Source(count, trace=str(trace), scale=scale).draw(rate, seed)
    else:
        chosen = mix_of(mix, arrivals, tiers, scale)
        drawn = replace(chosen, makers=_programs(chosen.kinds, seed)).draw(count, rate, seed)
    write(drawn, out)
    span = drawn[-1].arrival
    calls = sum(len(stage) for each in drawn for stage in each.stages)
    typer.echo(f"{out}: {len(drawn)} requests in {span:.0f} s, {calls} calls")


def _programs(kinds: Iterable[str], seed: int) -> dict[str, Kind]:
    """What draws the compiled programs among the kinds."""
    from agentvm.simulating import program_kind, program_named

    names = {each: each.removeprefix(PROGRAM) for each in kinds if each.startswith(PROGRAM)}
    return {kind: program_kind(program_named(name), name, seed) for kind, name in names.items()}


def source(
    engine: str,
    items: int | None,
    workload: Path | None,
    trace: Path | None,
    mix: str | None,
    arrivals: str,
    tiers: str,
) -> Source:
    """What is served, checked."""
    from agentvm_serving.bench.sources import Source

    large = any(each in engine for each in ("a100", "h100"))
    given = workload is not None or trace is not None
    chosen = Source(
        items or (2000 if large else 180),
        workload=str(workload or ""),
        trace=str(trace or ""),
        mix=mix or (PAPER if large and not given else ""),
        arrivals=arrivals,
        tiers=tiers,
        scale="large" if large else "small",
    )
    chosen.check()
    return chosen


def known(policies: str) -> list[str]:
    """The policies of a list.

    Raises:
        ConfigError: there is one that is not known.
    """
    from agentvm_serving.bench.engines import check_policy

    chosen = [each.strip() for each in policies.split(",")]
    for each in chosen:
        check_policy(each)
    return chosen


def forecasts(text: str) -> list[str]:
    """The forecasts of a list.

    Raises:
        ConfigError: there is one that is not known.
    """
    from agentvm_compiler.errors import ConfigError
    from agentvm_serving.workload import FORECASTS

    chosen = [each.strip() for each in text.split(",")]
    for each in chosen:
        if each not in FORECASTS:
            raise ConfigError(f"no forecast is called {each!r}. Choose one of: {', '.join(FORECASTS)}")
    return chosen


def numbers(text: str, of: Callable[[str], T], option: str) -> list[T]:
    """The numbers of a list."""
    from agentvm_compiler.errors import InputError

    try:
        return [of(each) for each in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text!r}: give numbers with commas between, such as 1,2") from None


def _run(
    comparison: Comparison,
    slo_scale: str,
    before: Sequence[Row],
    json_file: Path | None,
    jobs: int | None,
    within: float | None,
    *,
    timelines: bool,
) -> list[Row]:
    import time
    from dataclasses import replace

    from agentvm.models import resolve
    from agentvm_serving.bench.comparing import known_stretch, saturated
    from agentvm_serving.bench.engines import engine_named
    from agentvm_serving.bench.jobs import Workers, key_of
    from agentvm_serving.bench.results import write_json
    from agentvm_serving.bench.sources import SCALES

    began = time.monotonic()
    auto = known_stretch(before, comparison.engines[0], comparison.source)
    stretch = auto if slo_scale == "auto" else numbers(slo_scale, float, "--slo-scale")[0]
    engine_named(comparison.engines[0], forecast=comparison.forecasts[0]).close()  # is there such a one?
    rows = list(before)
    with Workers(jobs, lambda name: str(resolve(name))) as workers:
        if stretch is not None:
            comparison = replace(comparison, source=replace(comparison.source, stretch=stretch))
        comparison = saturated(workers, comparison, rows)
        for engine in comparison.engines:
            typer.echo(f"{engine}: saturated by {comparison.saturated[engine]:.3f} requests/s", err=True)
        if stretch is None:
            rate = comparison.saturated[comparison.engines[0]]
            longer = (SCALES[comparison.source.scale].saturated or rate) / rate
            comparison = replace(comparison, source=replace(comparison.source, stretch=longer))
        typer.echo(f"objectives: {comparison.source.stretch:.2f} times as long as drawn", err=True)
        missing = comparison.jobs(rows, timelines=timelines)
        last, longest = time.monotonic(), 0.0
        for number, row in enumerate(workers.rows(missing), 1):
            rows.append(row)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            told = f"load {row.load:g}, seed {row.seed}, {row.policy}, {row.forecast}"
            share = f"{row.token_share:.0%} of the tokens in time"
            typer.echo(f"[{number}/{len(missing)}] {row.engine}: {told}: {share}", err=True)
            if json_file is not None:  # as they come: what was measured is kept whatever happens
                write_json(rows, json_file)
            if within is not None and number < len(missing) and last - began + longest > within:
                typer.echo(f"{len(missing) - number} runs are left: the same command goes on", err=True)
                break
    asked = {job.key: number for number, job in enumerate(comparison.jobs())}
    return sorted((row for row in rows if key_of(row) in asked), key=lambda row: asked[key_of(row)])


def table(rows: Sequence[Row]) -> str:
    """A line for each policy at each load, with a bar."""
    from agentvm_serving.bench.comparing import labelled
    from agentvm_serving.bench.drift import drifted
    from agentvm_serving.bench.serving import summarised

    found = summarised(labelled(rows))
    odd = {(row.load, row.policy) for row in drifted(labelled(rows))}
    most = max(each["token_goodput"].mean for each in found.values()) or 1.0
    width = max(len(policy) for _, policy in found)
    titles = f"{'tokens/s in time':>18}  {'requests/s':>14}  {'all tokens/s':>14}"
    lines = [f"{'load':>5}  {'policy':<{width}}  {titles}"]
    for (load, policy), each in found.items():
        tokens, requests, all_tokens = (each[n] for n in ("token_goodput", "request_goodput", "throughput"))
        bar = "█" * round(BAR * tokens.mean / most)
        lines.append(
            f"{load:>5g}  {policy:<{width}}  {tokens.mean:>9.1f} ± {tokens.half:<6.1f}  "
            f"{requests.mean:>6.2f} ± {requests.half:<5.2f}  {all_tokens.mean:>14.1f}  "
            f"{'~ ' if (load, policy) in odd else ''}{bar}"
        )
    if odd:
        lines.append(
            "~ in some of these runs the machine was not as fast as mostly: repeat them with --again"
        )
    return "\n".join(lines)


def pairs(rows: Sequence[Row], subject: str) -> str:
    """What a policy has over each other one on the same workloads, with 95 % confidence intervals."""
    from agentvm_serving.bench.claims import claims

    tokens, requests = (
        {(each.load, each.over): each for each in claims(rows, subject, measure)}
        for measure in ("token_goodput", "request_goodput")
    )
    lines = ["", f"{subject} over another, seed by seed: tokens in time, requests in time"]
    for (load, over), claim in tokens.items():
        told = [each.ratios for each in (claim, requests.get((load, over))) if each is not None]
        said = "  ".join(f"{one.mean:>6.2f} ± {one.half:<5.2f}" for of in told for one in of.values())
        lines.append(f"{load:>5g}  {over:<14}  {said}")
    return "\n".join(lines) if tokens else ""


def verdicts(found: Sequence[Claim], subject: str) -> str:
    """What a policy gains over each other one, and whether every step-time model has it so."""
    lines = [
        "",
        f"tokens in time, {subject} over another; the lowest and highest mean of all step-time models",
    ]
    for claim in found:
        means = [each.mean for each in claim.ratios.values()]
        spread = f"{min(means):.2f} to {max(means):.2f}"
        lines.append(f"{claim.load:>5g}  {claim.over:<14}  {spread:<14}  {claim.verdict}")
    return "\n".join(lines)
