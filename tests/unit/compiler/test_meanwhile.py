"""One thread compiles at a time, and nothing found out meanwhile is kept longer."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentvm import agent
from agentvm_compiler import compile as compiler
from agentvm_compiler.compile import compile_agent
from agentvm_compiler.frontend.meanwhile import compiling, held_while_compiling, is_compiling
from agentvm_compiler.frontend.scope import scope_of
from agentvm_compiler.frontend.source import source_of


@agent
async def asked(word: str) -> str:
    return word


def test_what_is_found_out_is_kept_until_compiling_ends():
    """Within it the same scope is given to whoever asks, afterwards a new one."""
    source = source_of(asked.fn)
    assert source is not None
    with compiling():
        scope = scope_of(source)
        with compiling():
            assert scope_of(source) is scope
        assert scope_of(source) is scope
    assert scope_of(source) is not scope
    assert scope_of(source) is not scope_of(source)


def test_what_is_held_is_forgotten_even_if_compiling_fails():
    """And garbage is collected again."""
    held = held_while_compiling()
    with pytest.raises(KeyError), compiling():
        held["it"] = 1
        assert is_compiling() and not gc.isenabled()
        raise KeyError
    assert not held
    assert not is_compiling() and gc.isenabled()


def test_only_the_thread_that_compiles_is_compiling():
    """Another thread keeps nothing."""
    with compiling(), ThreadPoolExecutor(1) as other:
        assert not other.submit(is_compiling).result()
        assert is_compiling()


def test_two_threads_compile_an_agent_once(monkeypatch):
    """Whoever comes second waits, and is given the same program."""
    started, go, compiled = threading.Event(), threading.Event(), []
    compile_it = compiler._compile

    def watched(of):
        compiled.append(of)
        started.set()
        go.wait()
        return compile_it(of)

    monkeypatch.setattr(compiler, "_compile", watched)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(compile_agent, asked)
        started.wait()
        second = threads.submit(compile_agent, asked)
        go.set()
        assert first.result() is second.result()
    assert compiled == [asked]
