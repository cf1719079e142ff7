"""Who can write to Redis puts code there, or the code of one task under the name of another."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ray import cloudpickle

from ytray import task
from ytray.engine.jobs.task import Task
from ytray.engine.state import signing
from ytray.engine.state.code import resolve, shipped_in
from ytray.engine.state.link import CodeNotStored
from ytray.engine.state.shipped import ship
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments, PermanentError

pytestmark = pytest.mark.usefixtures("home")


class Evil:
    def __init__(self, made: Path) -> None:
        self._made = made

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._made),)


def local_task() -> Task[[int], int]:
    @task(name="shipped_for_an_attack", queue="batch")
    def twice(n: int) -> int:
        return 2 * n

    return twice


def put(where: Store, digest: str, code: bytes) -> str:
    where.redis.set(where.key(f"code:{digest}"), code)
    return f"value:{digest}"


def test_code_that_nobody_shipped_is_not_run(bare_store: Store, tmp_path: Path) -> None:
    dumps: Callable[[Evil], bytes] = cloudpickle.dumps
    evil = dumps(Evil(tmp_path / "ran"))
    good = bare_store.redis.get(bare_store.key(f"code:{ship(local_task(), bare_store)}"))
    assert isinstance(good, bytes)
    forged = good[-78:]  # the signature of other code
    for code in (evil, evil + forged, evil + b"\nytray-signed " + b"0" * 64, b"", b"\nytray-signed "):
        with pytest.raises(CodeNotStored, match="not signed"):
            resolve(put(bare_store, "0" * 32, code), bare_store)
    assert not (tmp_path / "ran").exists()


def test_the_code_of_one_task_is_not_run_as_another(bare_store: Store) -> None:
    digest = ship(local_task(), bare_store)
    code = bare_store.redis.get(bare_store.key(f"code:{digest}"))
    assert isinstance(code, bytes)
    assert resolve(f"value:{digest}", bare_store).name == "shipped_for_an_attack"
    with pytest.raises(CodeNotStored, match="not signed"):
        resolve(put(bare_store, "1" * 32, code), bare_store)


def test_the_secret_is_not_in_redis_and_for_its_owner_alone(bare_store: Store, home: Path) -> None:
    ship(local_task(), bare_store)
    known = signing.own_secret()
    for name in bare_store.redis.scan_iter("*"):
        assert known not in (bare_store.redis.dump(name) or b"")
    assert (home / "code_secret").stat().st_mode & 0o777 == 0o600


def test_threads_that_need_the_secret_at_once_in_a_new_home_have_the_same(
    tmp_path: Path, with_settings: Callable[..., None]
) -> None:
    for turn in range(20):
        with_settings(home=tmp_path / str(turn), code_secret=None)
        signing._of_home.cache_clear()
        begin = threading.Barrier(16)

        def ask(begin: threading.Barrier = begin) -> bytes:
            begin.wait()
            return signing.own_secret()

        with ThreadPoolExecutor(16) as threads:
            told = {asked.result() for asked in [threads.submit(ask) for _ in range(16)]}
        assert told == {(tmp_path / str(turn) / "code_secret").read_bytes()}
        assert len(*told) == 64
        assert [file.name for file in (tmp_path / str(turn)).iterdir()] == ["code_secret"]


def test_what_an_older_ytray_stored_runs_once_its_operator_has_signed_it(bare_store: Store) -> None:
    digest = ship(local_task(), bare_store)
    key = bare_store.key(f"code:{digest}")
    code = bare_store.redis.get(key)
    assert isinstance(code, bytes)
    bare_store.redis.set(key, code[:-78], ex=1000)
    with pytest.raises(CodeNotStored, match="ytray upgrade"):
        resolve(f"value:{digest}", bare_store)
    signing.sign_what_is_stored(bare_store)
    assert resolve(f"value:{digest}", bare_store).name == "shipped_for_an_attack"
    assert 0 < bare_store.redis.ttl(key) <= 1000


def test_stored_code_can_be_refused_altogether(bare_store: Store, with_settings: Callable[..., None]) -> None:
    words = f"value:{ship(local_task(), bare_store)}"
    with_settings(stored_code=False)
    with pytest.raises(PermanentError, match="YTRAY_STORED_CODE"):
        resolve(words, bare_store)
    with pytest.raises(InvalidArguments, match="YTRAY_STORED_CODE"):
        ship(local_task(), bare_store)
    assert shipped_in(words)
