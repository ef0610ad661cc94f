"""When a batch is due and what it holds, decided on scripted ticks and clocks."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from engine.model.bars import BAR_DTYPE
from engine.model.broker import MarketUpdate
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.terminal.host import session
from engine.terminal.host.loading import LoadedTerminal
from engine.terminal.host.server_time import ServerTime
from engine.terminal.host.session import TerminalSession
from engine.terminal.host.watcher import Watcher
from engine.terminal.protocol import HostConfig
from tests.terminal.fake_api import FakeApi

T0 = 1_800_000_000 * NS_PER_S  # a whole minute
T1 = T0 + NS_PER_MINUTE


class Market:
    """Two symbols, watched from T0 on, each with a forming bar."""

    def __init__(self, **config: object) -> None:
        self.api = FakeApi()
        self.api.now = T0
        self.api.ticks = {"A": (T0 + NS_PER_S, 1.1), "B": (T0 + NS_PER_S, 1.2)}
        self.api.bars = {"A": [T0], "B": [T0]}
        options = {
            "module": "fake",
            "lock_path": "",
            "server_clock": "UTC",
            "heartbeat_ms": 1e9,
            **config,
        }
        host = HostConfig(**options)
        terminal = LoadedTerminal(self.api, now_ns=self.api.now_ns, control=None)
        self.session = TerminalSession(terminal, host)
        self.session.connect()
        self.watcher = Watcher(self.session, host, clock=self.api.now_ns)
        self.watcher.watch(["A", "B"], T0)
        self.poll(T0 + 2 * NS_PER_S)

    def poll(self, now_ns: int) -> list[MarketUpdate]:
        self.api.now = now_ns
        return self.watcher.poll()

    def tick(self, name: str, time_ns: int, bid: float = 1.3) -> None:
        self.api.ticks[name] = (time_ns, bid)
        open_ns = time_ns - time_ns % NS_PER_MINUTE
        if self.api.bars[name][-1] != open_ns:
            self.api.bars[name].append(open_ns)


@pytest.fixture
def market() -> Market:
    return Market()


def opens(update: MarketUpdate, name: str) -> list[int]:
    data = update.bars.get(name, b"")
    return np.frombuffer(data, BAR_DTYPE)["time_ns"].tolist()


def test_a_changed_quote_is_told_at_once_and_once(market: Market) -> None:
    """Every change, nothing but changes, and no batch inside a minute."""
    assert market.poll(T0 + 3 * NS_PER_S) == []
    market.tick("A", T0 + 4 * NS_PER_S, 1.4)
    (update,) = market.poll(T0 + 4 * NS_PER_S)
    assert [(q.symbol, q.bid) for q in update.quotes] == [("A", 1.4)]
    assert update.batch_ns == 0
    assert market.poll(T0 + 5 * NS_PER_S) == []


def test_a_batch_waits_for_every_forming_bar(market: Market) -> None:
    """One symbol's tick does not close the other's bar before the grace is over."""
    market.tick("A", T1)
    (update,) = market.poll(T1 + 5 * NS_PER_MS)
    assert update.batch_ns == 0
    market.tick("B", T1 + 20 * NS_PER_MS)
    (batch,) = market.poll(T1 + 20 * NS_PER_MS)
    assert batch.batch_ns == T1
    assert opens(batch, "A") == opens(batch, "B") == [T0]
    assert {q.symbol for q in batch.quotes} == {"A", "B"}


def test_a_tick_closes_the_minute_before_this_box_does(market: Market) -> None:
    """The broker's clock may run ahead of ours: its first tick of a later minute counts."""
    market.tick("A", T1)
    market.tick("B", T1)
    (batch,) = market.poll(T1 - 30 * NS_PER_MS)
    assert batch.batch_ns == T1
    assert batch.market_ns >= T1


def test_the_grace_closes_a_silent_minute(market: Market) -> None:
    """Without any tick the batch comes at T + grace, not before, with quotes of all symbols."""
    assert market.poll(T1 + 999 * NS_PER_MS) == []
    (batch,) = market.poll(T1 + 1000 * NS_PER_MS)
    assert batch.batch_ns == T1
    assert opens(batch, "A") == [T0]
    assert len(batch.quotes) == 2


def test_a_market_at_rest_makes_no_batches(market: Market) -> None:
    """No bar closed and no tick: no batch, however many minutes pass."""
    market.poll(T1 + NS_PER_S)
    for minute in range(2, 10):
        for at_ns in (0, NS_PER_S, 30 * NS_PER_S):
            assert market.poll(T0 + minute * NS_PER_MINUTE + at_ns) == []


def test_the_first_tick_after_a_rest_makes_a_batch(market: Market) -> None:
    """A bar that opens late in a minute still gives that minute's batch, without bars."""
    market.poll(T1 + NS_PER_S)
    t9 = T0 + 9 * NS_PER_MINUTE
    assert market.poll(t9 + 2 * NS_PER_S) == []
    market.tick("A", t9 + 30 * NS_PER_S)
    (batch,) = market.poll(t9 + 30 * NS_PER_S)
    assert batch.batch_ns == t9
    assert batch.bars == {}


def test_each_bar_is_sent_once_and_none_is_missed(market: Market) -> None:
    """After minutes that were slept through, all their bars come with the next batch; a bar
    that shows up late comes with the one after."""
    for minute in (1, 2, 3, 4):
        market.tick("A", T0 + minute * NS_PER_MINUTE)
    market.api.bars["A"].remove(T0 + 2 * NS_PER_MINUTE)
    t4 = T0 + 4 * NS_PER_MINUTE
    (batch,) = market.poll(t4 + NS_PER_S)
    assert batch.batch_ns == t4
    assert opens(batch, "A") == [T0, T1, T0 + 3 * NS_PER_MINUTE]
    assert opens(batch, "B") == [T0]
    market.tick("A", t4 + NS_PER_MINUTE)
    (batch,) = market.poll(t4 + NS_PER_MINUTE + NS_PER_S)
    assert opens(batch, "A") == [t4]


def test_the_forming_bar_is_never_sent(market: Market) -> None:
    """Only bars that opened a whole minute before T are closed."""
    market.tick("A", T1)
    market.tick("B", T1)
    market.tick("B", T1 + NS_PER_MINUTE)
    batch = market.watcher.batch(T1)
    assert opens(batch, "A") == opens(batch, "B") == [T0]


def test_a_tick_from_the_future_closes_nothing(market: Market) -> None:
    """A mis-stamped tick cannot run the clock ahead."""
    market.tick("A", T0 + 60 * NS_PER_MINUTE)
    updates = market.poll(T0 + 10 * NS_PER_S)
    assert [u.batch_ns for u in updates] == [0]


def test_a_lost_pipe_is_told_and_mended() -> None:
    """None from the module shows as not connected, never as "no bars"; then it connects again."""
    market = Market(heartbeat_ms=0.0)
    market.tick("A", T1)
    market.tick("B", T1)
    market.api.down = (-10004, "No IPC connection")
    (update,) = market.poll(T1 + 2 * NS_PER_S)
    assert (update.connected, update.batch_ns, update.bars) == (False, 0, {})
    market.api.down = None
    (batch,) = market.poll(T1 + 3 * NS_PER_S)
    assert (batch.connected, batch.batch_ns) == (True, T1)
    assert opens(batch, "A") == [T0]


def test_a_terminal_that_stays_away_is_asked_more_and_more_seldom() -> None:
    """Tries to reconnect come at once, then 2, 4, 8, 16 and 30 s later; one that made it is
    followed by a second without any."""
    market = Market(heartbeat_ms=0.0)
    connect, tries_s = market.session.connect, []

    def watched() -> None:
        tries_s.append((market.api.now - T0) // NS_PER_S)
        connect()

    market.session.connect = watched  # type: ignore[method-assign]
    market.api.down = (-10004, "No IPC connection")
    for second in range(3, 100):
        market.poll(T0 + second * NS_PER_S)
    assert [later - sooner for sooner, later in pairwise(tries_s)] == [2, 4, 8, 16, 30, 30]
    market.api.down, again = None, T0 + 125 * NS_PER_S
    market.poll(again)
    market.api.down = (-10004, "No IPC connection")
    tries_s.clear()
    for tenth in range(1, 21):
        market.poll(again + tenth * NS_PER_S // 10)
    assert tries_s == [126]


def test_another_account_after_a_restart_is_not_used() -> None:
    """Who logs the terminal into another account gets no data and no orders from us."""
    market = Market(heartbeat_ms=0.0, login=7)
    market.api.down = (-10002, "IPC recv failed")
    market.poll(T0 + 3 * NS_PER_S)
    market.api.down = None
    market.api.login_found = 8
    (update,) = market.poll(T0 + 4 * NS_PER_S)
    assert not update.connected
    assert update.quotes == []


def test_a_heartbeat_comes_without_news() -> None:
    """Silence and a dead host look different."""
    market = Market(heartbeat_ms=0.0)
    (update,) = market.poll(T0 + 3 * NS_PER_S)
    assert (update.quotes, update.batch_ns, update.connected) == ([], 0, True)


def test_stepped_mode_watches_nothing() -> None:
    """In stepped mode time and batches come by `advance` alone."""
    market = Market(stepped=True, heartbeat_ms=0.0)
    market.tick("A", T1)
    assert market.poll(T1 + 2 * NS_PER_S) == []
    batch = market.watcher.batch(T1)
    assert opens(batch, "A") == [T0]
    assert batch.batch_ns == batch.market_ns == T1 + 2 * NS_PER_S or batch.batch_ns == T1


def test_a_doubled_hour_comes_bar_by_bar_in_utc() -> None:
    """A market that never closes, over the end of daylight saving: every bar once, in order, at
    its own instant, although the server's clock shows an hour twice."""
    clock = ServerTime("new_york+7").clock
    fall_ns = int(datetime(2025, 11, 2, 6, tzinfo=UTC).timestamp()) * NS_PER_S
    first_ns, n_minutes = fall_ns - 90 * NS_PER_MINUTE, 240
    api = FakeApi()
    api.now = first_ns
    api.ticks = {"A": (clock.to_server_ns(first_ns), 1.0)}
    api.bars = {"A": [clock.to_server_ns(first_ns)]}
    host = HostConfig(module="fake", lock_path="", server_clock="new_york+7")
    session = TerminalSession(LoadedTerminal(api, now_ns=api.now_ns, control=None), host)
    session.connect()
    watcher = Watcher(session, host)
    watcher.watch(["A"], first_ns)
    found: list[int] = []
    for minute in range(1, n_minutes + 1):
        api.now = first_ns + minute * NS_PER_MINUTE
        api.ticks = {"A": (clock.to_server_ns(api.now), 1.0 + minute)}
        api.bars["A"].append(clock.to_server_ns(api.now))
        for update in watcher.poll():
            assert update.doubt == ""
            found += opens(update, "A")
    assert found == [first_ns + minute * NS_PER_MINUTE for minute in range(n_minutes)]


def test_a_clock_that_leaves_its_rule_stops_batches_and_says_why(market: Market) -> None:
    """A broker that moves its clock an hour: prices go on, no bar comes shifted, and each update
    carries the reason; back on the rule, the bars come that were kept back."""
    market.tick("A", T0 + NS_PER_MINUTE + NS_PER_HOUR)
    told = market.poll(T0 + NS_PER_MINUTE + NS_PER_S)
    market.tick("B", T0 + NS_PER_MINUTE + NS_PER_HOUR + NS_PER_S)
    told += market.poll(T0 + NS_PER_MINUTE + 5 * NS_PER_S)
    assert [q.symbol for update in told for q in update.quotes] == ["A", "B"]
    assert not any(update.bars or update.batch_ns for update in told)
    assert all("UTC+1 h" in update.doubt for update in told)
    market.api.bars = {"A": [T0], "B": [T0]}
    market.tick("A", T0 + NS_PER_MINUTE + 8 * NS_PER_S)
    market.tick("B", T0 + NS_PER_MINUTE + 8 * NS_PER_S)
    (update,) = market.poll(T0 + NS_PER_MINUTE + 9 * NS_PER_S)
    assert update.doubt == ""
    assert opens(update, "A") == opens(update, "B") == [T0]


def test_what_the_broker_changes_about_a_symbol_is_noticed(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at prices renews the specifications too, so that orders go by levels of today."""
    market.api.symbols = {name: {"trade_stops_level": 70} for name in ("A", "B")}
    market.poll(T0 + 3 * NS_PER_S)
    assert market.session.facts("A").stops_level_points == 0
    monkeypatch.setattr(session, "_FACTS_HOLD_S", 0.0)
    market.poll(T0 + 3 * NS_PER_S)
    market.poll(T0 + 3 * NS_PER_S)
    assert [market.session.facts(name).stops_level_points for name in ("A", "B")] == [70, 70]


def test_a_batch_is_told_although_what_is_asked_after_it_fails(market: Market) -> None:
    """The bars of a batch are told once: a specification that cannot be renewed, right after they
    were looked for, loses none of them."""
    for name in market.session._facts_s:
        market.session._facts_s[name] = 0.0  # long ago: due at every look
    market.api.symbol_info = lambda name: None  # type: ignore[method-assign]
    market.tick("A", T1)
    market.tick("B", T1)
    (batch,) = market.poll(T1)
    assert batch.batch_ns == T1
    assert opens(batch, "A") == opens(batch, "B") == [T0]
