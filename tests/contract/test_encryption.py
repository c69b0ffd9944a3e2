"""An encrypted store: what a thief of the database sees, and which key opens it."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from agentvm_compiler.errors import ConfigError
from agentvm_runtime.errors import StoreError
from agentvm_runtime.ports import Store
from agentvm_runtime.records import Digest, Event, EventKind, MemoEntry, RunRecord, RunStatus
from agentvm_runtime.store import open_store
from agentvm_runtime.store.sealing import VARIABLE
from agentvm_runtime.values import decode, digest, encode, key_digest

pytest.importorskip("cryptography", reason="not installed: pip install 'agentvm[encryption]'")

SECRET = encode({"question": "where is the treasure"})
LARGE = encode("the treasure is under the old oak tree " * 70_000)
KEY = key_digest("where is the treasure")
RUN = RunRecord("run-1", "agents:main", "hash", digest(SECRET), 100.0, meta={"file": "secret_place.py"})
EVENT = Event(
    EventKind.DONE,
    "llm#1",
    site="llm#1",
    node="llm",
    key=KEY,
    value=digest(LARGE),
    detail={"said": "treasure"},
    seq=1,
)
MEMO = MemoEntry(KEY, digest(LARGE), "run-1", "llm#1", 1.0)


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind that outlives a process."""
    if request.param == "postgres":
        new: Callable[[], str] = request.getfixturevalue("postgres_url")
        return new()
    return f"sqlite+aiosqlite:///{tmp_path}/runs.db"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    made = new_key()
    monkeypatch.setenv(VARIABLE, made)
    return made


async def opened(url: str) -> Store:
    store = open_store(url)
    await store.open()
    return store


async def filled(url: str) -> None:
    store = await opened(url)
    await store.create_run(RUN, {RUN.inputs: SECRET})
    await store.append("run-1", replace(EVENT, seq=0), {digest(LARGE): LARGE}, MEMO).wait()
    await store.save_profile("agents:main", '{"treasure": 1}').wait()
    await store.set_status("run-1", RunStatus.COMPLETED, result=digest(LARGE)).wait()
    await store.aclose()


async def test_with_the_key_all_is_as_it_was_written(url: str) -> None:
    """Every record comes back, and values are found by their digests."""
    await filled(url)
    store = await opened(url)
    run = replace(RUN, status=RunStatus.COMPLETED, result=digest(LARGE))
    assert await store.get_run("run-1") == run
    assert await store.list_runs(agent="agents:main") == [run]
    assert await store.events("run-1") == [EVENT]
    assert await store.memo(KEY) == MEMO
    assert await store.profile("agents:main") == '{"treasure": 1}'
    found = await store.values([digest(SECRET), digest(LARGE), Digest("0" * 40)])
    assert found == {digest(SECRET): SECRET, digest(LARGE): LARGE}
    assert decode(found[digest(SECRET)]) == {"question": "where is the treasure"}
    await store.aclose()


def test_without_the_key_nothing_can_be_read_or_guessed(tmp_path: Path) -> None:
    """Neither what was written nor a hash of it, by which a guess could be checked, is in the file."""
    anyio.run(filled, f"sqlite:///{tmp_path}/runs.db")
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    plain = [b"treasure", b"secret_place", digest(SECRET).encode(), digest(LARGE).encode(), KEY.encode()]
    plain += [bytes.fromhex(each) for each in (digest(SECRET), digest(LARGE), KEY)]
    assert [each for each in plain if each in raw] == []


async def test_equal_values_are_kept_once(tmp_path: Path) -> None:
    """Sealed names are equal for equal digests: deduplication works, and only that shows."""
    url = f"sqlite:///{tmp_path}/runs.db"
    await filled(url)
    store = await opened(url)
    await store.append("run-2", replace(EVENT, seq=0), {digest(LARGE): LARGE, RUN.inputs: SECRET}).wait()
    await store.aclose()
    connection = sqlite3.connect(tmp_path / "runs.db")
    assert connection.execute('SELECT count(*) FROM "values"').fetchone() == (2,)
    assert len({name for (name,) in connection.execute("SELECT value FROM events")}) == 1
    assert len({text for (text,) in connection.execute("SELECT detail FROM events")}) == 2
    connection.close()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("", rf"it is encrypted\. Set {VARIABLE}"),
        (new_key(), "encrypted with another key than .* has now. Set that to"),
        ("not a key", "32 random bytes in base64. Make one: python"),
        (base64.b64encode(b"short").decode(), "32 random bytes"),
    ],
)
async def test_a_missing_or_wrong_key_is_a_clear_error(
    url: str, found: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store does not open, and nothing is changed."""
    await filled(url)
    right = os.environ[VARIABLE]
    monkeypatch.setenv(VARIABLE, found)
    with pytest.raises(ConfigError, match=says):
        await opened(url)
    monkeypatch.setenv(VARIABLE, right)
    store = await opened(url)
    assert await store.events("run-1") == [EVENT]
    await store.aclose()


async def test_a_plain_store_is_not_mixed_with_encrypted_content(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key does not silently leave the old content readable: the store is refused."""
    monkeypatch.delenv(VARIABLE)
    await (await opened(url)).aclose()
    monkeypatch.setenv(VARIABLE, new_key())
    with pytest.raises(ConfigError, match=rf"not encrypted, but {VARIABLE} is set"):
        await opened(url)


@pytest.mark.parametrize(
    "change",
    [
        'UPDATE "values" SET data = zeroblob(40) WHERE coding <> 2',
        "UPDATE chunks SET data = (SELECT data FROM chunks WHERE number = 0) WHERE number = 1",
        "DELETE FROM chunks WHERE number = 1",
        "UPDATE chunks SET coding = coding - 16",
    ],
)
async def test_what_was_altered_does_not_open(tmp_path: Path, change: str) -> None:
    """Sealed bytes are bound to their place: changed, moved, missing or plain ones are an error."""
    url = f"sqlite:///{tmp_path}/runs.db"
    await filled(url)
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute(change)
    connection.close()
    store = await opened(url)
    with pytest.raises(StoreError, match=r"damaged|altered"):
        await store.values([digest(SECRET), digest(LARGE)])
    await store.aclose()
