"""Webhooks as an attack: on what is inside, by their receivers, and on other users' notices."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.attacks.receivers import OK, receiver
from tests.engine.tasks_for_batches import plain_item
from ytray import InvalidArguments, SettingsError
from ytray.engine.base import webhook
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import BatchOptions
from ytray.engine.batch.notices import Notices
from ytray.engine.batch.preparing import Preparation, check_options
from ytray.engine.state.store import Store

Until = Callable[..., None]
Change = Callable[..., None]

INSIDE = (
    "127.0.0.1 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 168.63.129.16 100.100.100.200 "
    "192.0.0.192 192.88.99.1 198.18.0.1 203.0.113.9 224.0.0.1 239.255.255.250 255.255.255.255 [::1] [::] [fe80::1] "
    "[fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::1] [2002:7f00:1::1] [2001::1] "
    "[2001:db8::1] [3fff::1] [5f00::1] [::ffff:127.0.0.1] [::ffff:10.0.0.1] [::127.0.0.1] [::ffff:0:127.0.0.1] "
    "2130706433 0x7f000001 127.1 017700000001 localhost a.localhost"
).split()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The addresses of names in .example, which a test fills in; others cannot be resolved."""
    known: dict[str, list[str]] = {}

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror("there is no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that this process connects to at a port of webhooks; other tests' servers have other ports."""
    seen: list[Any] = []
    before = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[1] in (80, 443, 8080, 8443):
            seen.append(address)
        before(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return seen


@pytest.fixture
def made(bare_store: Store, tmp_path: Path) -> Callable[..., str]:
    """`made(user, url)` makes a batch of a user's, on a store where nobody works, which tells a URL of its end."""

    def make(user: str, url: str) -> str:
        rows = [{"folder": str(tmp_path), "name": user}]
        options = BatchOptions(user_id=user, on_failure=url)
        return Preparation(Ledger(bare_store), plain_item, rows, options).commit()

    return make


@pytest.fixture
def at_work(bare_store: Store) -> Iterator[Callable[[], Notices]]:
    """Tells what is due, several at once, until the test ends."""
    goes_on = threading.Event()
    goes_on.set()
    workers: list[threading.Thread] = []

    def start() -> Notices:
        notices = Notices(bare_store)
        notices.look()

        def work() -> None:
            while goes_on.is_set() and notices.tell_one():
                pass

        workers.extend(threading.Thread(target=work, daemon=True) for _ in range(8))
        for worker in workers:
            worker.start()
        return notices

    yield start
    goes_on.clear()
    for worker in workers:
        worker.join(30)


def due(store: Store, batch: str, *ats: int) -> None:
    """Notices of a batch, due since the beginning of time and in this order."""
    store.redis.zadd(store.key("notices"), {f"{batch} failure 1 {at}": at for at in ats})


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_refused_at_submission_and_at_delivery(host: str, connected: list[Any]) -> None:
    url = f"http://{host}/latest/api/token"
    with pytest.raises(InvalidArguments, match="not public"):
        check_options(BatchOptions(on_complete=url))
    with pytest.raises(SettingsError, match="not public"):
        webhook.deliver_to_user(url, b"{}", {}, named="it")
    with pytest.raises(SettingsError, match="not public"):
        webhook.deliver(url, b"{}")
    assert connected == []


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.215.14:25/",
        "http://hooks.example:6379/",
        "https://hooks.example:0/",
        "https://hooks.example:70000/",
        "http://me:secret@hooks.example/",
        "http://hooks.example\\@127.0.0.1/",
        "http://[::1/",
        "http:///nowhere",
        "http://a b.example/",
        "http://hooks.example/\r\nX-Evil: 1",
        f"http://{'a.' * 200}example/",
    ],
)
def test_a_url_that_means_something_else_is_refused_at_submission(url: str, names: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidArguments, match="on_failure"):
        check_options(BatchOptions(on_failure=url))


def test_a_submission_resolves_no_name(
    bare_store: Store, made: Callable[..., str], names: Any, monkeypatch: Any
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given))
    batch = made("bob", "https://slow.example/hook")
    assert Ledger(bare_store).fields(batch)["on_failure"] == "https://slow.example/hook"
    assert [given for given in asked if "example" in str(given)] == []


def test_a_name_of_an_inner_address_is_not_connected_to_and_the_refusal_does_not_tell_it(
    names: dict[str, list[str]], connected: list[Any]
) -> None:
    names["rebound.example"] = ["93.184.215.14", "10.20.30.40"]
    told = []
    for name in ("rebound.example", "unknown.example"):
        with pytest.raises(SettingsError) as refused:
            webhook.deliver_to_user(f"http://{name}/", b"{}", {}, named="it")
        told.append(str(refused.value))
    assert told[0] == told[1], "whether there is such a name inside is not told"
    assert "10.20" not in told[0]
    assert connected == []


def test_what_the_operator_allows_for_alerts_is_not_allowed_to_users_nor_the_other_way_round(
    with_settings: Change,
) -> None:
    with receiver(lambda connection, _: connection.sendall(OK)) as url:
        with_settings(alert_webhook_private=True)
        webhook.deliver(url, b"{}")
        with pytest.raises(InvalidArguments, match="not public"):
            check_options(BatchOptions(on_complete=url))
        with pytest.raises(SettingsError, match="not public"):
            webhook.deliver_to_user(url, b"{}", {}, named="it")
        with_settings(alert_webhook_private=False, webhook_networks="10.1.2.0/24,127.0.0.1")
        check_options(BatchOptions(on_complete=url))
        webhook.deliver_to_user(url, b"{}", {}, named="it")
        with pytest.raises(SettingsError, match="not public"):
            webhook.deliver(url, b"{}")


def test_an_endless_answer_is_not_read(with_settings: Change) -> None:
    with_settings(alert_webhook_private=True)
    sent, cut = [0], threading.Event()

    def flood(connection: socket.socket, _: bytes) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"A" * 65536)
                sent[0] += 65536
        finally:
            cut.set()

    with receiver(flood) as url:
        webhook.deliver(url, b"{}")
        assert cut.wait(30)
    assert sent[0] < 20_000_000, "only what the kernel's buffers took"


def test_endless_headers_are_not_read(with_settings: Change) -> None:
    with_settings(alert_webhook_private=True)

    def flood(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: " + b"A" * 1000 + b"\r\n")

    with receiver(flood) as url, pytest.raises(httpx.RemoteProtocolError) as refused:
        webhook.deliver(url, b"{}")
    assert webhook.what_went_wrong(refused.value) == "it was not reached (RemoteProtocolError)"


@pytest.mark.parametrize("what", ["headers", "statuses", "nothing"])
def test_a_drip_does_not_extend_the_time_of_a_try(
    what: str, with_settings: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(alert_webhook_private=True)
    monkeypatch.setattr(webhook, "_TIMEOUT", 1.0)
    over = threading.Event()

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" if what == "headers" else b"")
        while not over.wait(0.2):
            connection.sendall({"headers": b"X: y\r\n", "statuses": b"HTTP/1.1 103 Hints\r\n\r\n"}.get(what, b""))

    began = time.monotonic()
    with receiver(drip) as url:
        with pytest.raises(TimeoutError):
            webhook.deliver(url, b"{}")
        took = time.monotonic() - began
        over.set()
    assert 0.9 < took < 8


def test_a_slow_name_takes_no_longer_than_a_try_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_TIMEOUT", 0.5)
    over = threading.Event()

    def slow(*_: Any, **__: Any) -> list[Any]:
        over.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(TimeoutError):
        webhook.deliver_to_user("https://slow.example/", b"{}", {}, named="it")
    over.set()


def test_a_slow_receiver_and_thousands_of_notices_delay_no_other_user(
    bare_store: Store, made: Callable[..., str], at_work: Callable[[], Notices], with_settings: Change, until: Until
) -> None:
    with_settings(webhook_networks="127.0.0.1")
    goes_on, told = threading.Event(), list[str]()
    open_now, most = [0], [0]

    def slow(connection: socket.socket, _: bytes) -> None:
        open_now[0] += 1
        most[0] = max(most[0], open_now[0])
        goes_on.wait(60)
        open_now[0] -= 1
        connection.sendall(OK)

    def quick(connection: socket.socket, _: bytes) -> None:
        told.append("alice")
        connection.sendall(OK)

    with receiver(slow) as bobs, receiver(quick) as alices:
        due(bare_store, made("bob", bobs), *range(1, 3001))
        due(bare_store, made("alice", alices), *range(4001, 4004))
        at_work()
        until(lambda: len(told) == 3)
        assert most == [1], "a user has one notice under way"
        goes_on.set()


def test_eight_users_are_told_at_once(
    bare_store: Store, made: Callable[..., str], at_work: Callable[[], Notices], with_settings: Change
) -> None:
    with_settings(webhook_networks="127.0.0.1")
    together = threading.Barrier(8)

    def wait_for_the_others(connection: socket.socket, _: bytes) -> None:
        together.wait(30)
        connection.sendall(OK)

    with ExitStack() as stack:
        for number in range(8):
            url = stack.enter_context(receiver(wait_for_the_others))
            due(bare_store, made(f"user {number}", url), number + 1)
        at_work()
        until_empty(bare_store)
    assert not together.broken


def until_empty(store: Store) -> None:
    deadline = time.monotonic() + 30
    while store.redis.zcard(store.key("notices")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_endpoint_that_failed_five_times_waits_and_its_notices_lose_no_try(
    bare_store: Store, made: Callable[..., str], with_settings: Change
) -> None:
    with_settings(webhook_networks="127.0.0.1")
    asked, works = [0], [False]

    def answer(connection: socket.socket, _: bytes) -> None:
        asked[0] += 1
        connection.sendall(OK if works[0] else b"HTTP/1.1 500 No\r\n\r\n")

    def tell_all() -> None:
        notices.look()
        while notices.tell_one():
            pass

    notices = Notices(bare_store)
    with receiver(answer) as url:
        batch = made("bob", url)
        due(bare_store, batch, *range(1, 21))
        tell_all()
        assert asked == [5]
        fields = Ledger(bare_store).fields(batch)
        assert fields["webhook_error"].startswith(
            "it answered 500; since it has failed so often, nothing goes there before"
        )
        rows: Any = bare_store.redis.zrange(bare_store.key("notices"), 0, -1, withscores=True)
        tries = [entry.decode().split()[2] for entry, _ in rows]
        assert sorted(tries) == ["1"] * 15 + ["2"] * 5
        quarter = bare_store.now_ms() + 15 * 60_000
        assert all(
            when == pytest.approx(quarter, abs=60_000) for (_, when), n in zip(rows, tries, strict=True) if n == "1"
        )
        # The next failure, once the quarter of an hour is over, makes it wait for twice as long.
        (key,) = bare_store.redis.keys(bare_store.key("endpoint:*"))
        assert 0 < bare_store.redis.pttl(key) <= 86_400_000
        bare_store.redis.hset(key, "until", 1)
        due(bare_store, batch, 1)
        tell_all()
        assert asked == [6]
        assert int(bare_store.redis.hget(key, "until") or 0) == pytest.approx(quarter + 15 * 60_000, abs=120_000)
        # And one that is taken ends it.
        works[0] = True
        bare_store.redis.hset(key, "until", 1)
        bare_store.redis.zadd(bare_store.key("notices"), {entry: 1 for entry, _ in rows})
        tell_all()
    assert not bare_store.redis.exists(key)
    assert "webhook_error" not in Ledger(bare_store).fields(batch)
    assert asked[0] >= 6 + 20
