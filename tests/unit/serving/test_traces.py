"""Traces of real services as workloads."""

from __future__ import annotations

import gzip
import random
import statistics

import pytest

from agentvm_compiler.errors import InputError
from agentvm_serving.workload import SMALL, Call
from agentvm_serving.workload.traces import Traced, from_records, items_of, read_trace

AZURE = "arrival_s,input_tokens,output_tokens\n0.0,374,44\n2.5,9999,5000\n"
MOONCAKE = '{"t_ms":0,"in":2000,"out":500,"hash_runs":[[0,1],[14,3]]}\n{"t_ms":1500,"in":7,"out":4}\n'
PROGRAMS = '{"id":6,"stages":[[[605,86]],[[153,524],[155,99]]]}\n'
SESSIONS = (
    '{"id":"t","turns":[[711,711,169,0.0,7.3,"u"],[727,15,296,12.0,9.1,"t"],'
    '[730,16,9,2000.0,9.1,"t"],[740,10,9,null,9.1,"t"]]}\n'
)


def test_calls_with_arrivals_are_read(tmp_path):
    """CSV and JSON lines."""
    (tmp_path / "a.csv").write_text(AZURE)
    assert read_trace(tmp_path / "a.csv") == [
        Traced(((Call(374, 44),),), 0.0),
        Traced(((Call(9999, 5000),),), 2.5),
    ]
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(MOONCAKE.encode()))
    assert read_trace(tmp_path / "m.jsonl.gz") == [
        Traced(((Call(2000, 500, (("b0", 512), ("b14", 1024))),),), 0.0),
        Traced(((Call(7, 4),),), 1.5),
    ]


def test_programs_and_sessions_are_read(tmp_path):
    """Stage by stage; a session's prompts continue one another."""
    (tmp_path / "p.jsonl").write_text(PROGRAMS)
    assert read_trace(tmp_path / "p.jsonl") == [Traced(((Call(605, 86),), (Call(153, 524), Call(155, 99))))]
    (tmp_path / "s.jsonl").write_text(SESSIONS)
    (session,) = read_trace(tmp_path / "s.jsonl")
    assert session == Traced(
        tuple((Call(n, out, (("s0", n),)),) for n, out in [(711, 169), (727, 296), (730, 9), (740, 9)]),
        gaps=(12.0, 60.0, 0.0),
        session=True,
    )


def test_what_no_small_model_can_serve_is_cut():
    """Long calls and long programs."""
    (item,) = items_of([Traced(((Call(9999, 5000),),) * 20)], 1, 1.0, seed=1)
    assert item.stages == ((Call(SMALL.most_input, SMALL.most_output),),) * SMALL.most_stages


def test_a_session_ends_where_the_context_is_full():
    """Its opening is cut to half of that; the rest is kept as it was, and is its item's own."""
    turns = tuple((Call(n, 10, (("s0", n),)),) for n in (5000, 5100, 6200, 6700))
    (item,) = items_of([Traced(turns, gaps=(1.0, 2.0, 3.0), session=True)], 1, 1.0, seed=1)
    assert [call.prefix for ((call),) in item.stages] == [
        (("t0", 1500),),
        (("t0", 1600),),
        (("t0", 2700),),
    ]
    assert (item.gaps, item.site, item.within) == ((1.0, 2.0), "session", 3 * SMALL.within + 3.0)


def test_kinds_are_drawn_from_a_trace():
    """Its records in any order, with the kind's objective."""
    trace = [Traced(((Call(n, 5),),)) for n in range(1, 50)]
    drawn = [from_records("chat", trace)("a", 1.0, random.Random(n), SMALL) for n in range(9)]
    assert {(each.slo, each.site, each.ttft) for each in drawn} == {("latency", "chat", SMALL.ttft)}
    assert len({each.stages for each in drawn}) > 5
    assert from_records("code", trace)("a", 1.0, random.Random(1), SMALL).slo == "deadline"


def test_arrivals_keep_their_shape_at_another_rate():
    """A burst stays a burst."""
    trace = [Traced(((Call(1, 1),),), at) for at in (10.0, 10.5, 11.0, 20.0)]
    assert [each.arrival for each in items_of(trace, 9, rate=4.0, seed=1)] == pytest.approx(
        [0, 0.05, 0.1, 1.0]
    )


def test_without_arrivals_they_are_a_poisson_process():
    """At the rate asked for."""
    items = items_of([Traced(((Call(1, 1),),))] * 4000, 4000, rate=5.0, seed=1)
    assert items[-1].arrival == pytest.approx(800, rel=0.05)
    assert statistics.mean(each.slo == "latency" for each in items) == pytest.approx(0.5, abs=0.03)


def test_a_seed_says_where_to_begin():
    """The same again is the same; objectives are the scale's."""
    trace = [Traced(((Call(n + 1, 5),), (Call(n + 1, 5),)), float(n), gaps=(3.0,)) for n in range(100)]
    one, other = items_of(trace, 10, 1.0, seed=1), items_of(trace, 10, 1.0, seed=2)
    assert one == items_of(trace, 10, 1.0, seed=1) and one != other
    assert {(each.slo, each.within, each.gaps) for each in one} == {
        ("compound", 2 * SMALL.within + 3.0, (3.0,))
    }
    prompts = [each.stages[0][0].input_tokens for each in one]
    assert prompts == list(range(prompts[0], prompts[0] + 10))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the trace is empty"),
        ("input_tokens,output_tokens\n1,x\n", "line 2: no record"),
        ("what,ever\n1,2\n", "line 2: no record"),
        ('{"in":1,"out":2}\n{"in":1}\n', "line 2: no record"),
        ('{"stages":[]}\n', "line 1: no record"),
        ('{"turns":[[1]]}\n', "line 1: no record"),
        ("{\n", "line 1: no record"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path, text, message):
    """With the line."""
    path = tmp_path / "t"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_trace(path)
    path = tmp_path / "t.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="cannot be read"):
        read_trace(path)
