"""The gateway against the real host process with the simulated terminal in it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from engine.model.bars import BAR_DTYPE
from engine.model.broker import MarketUpdate, OrderRequest
from engine.model.errors import BrokerError, NotSent, OutcomeUnknown
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.protocol import HostConfig
from engine.terminal.retcodes import Action, classify
from tests.child.test_child import wait_until

NAMES = ["EURUSD", "USDJPY", "XAUUSD"]
START_NS = 1_772_532_000 * NS_PER_S  # Tuesday 2026-03-03 10:00 UTC
DEADLINES = Deadlines(read_s=20, order_s=20, connect_s=20)
MakeGateway = Callable[..., Gateway]


def write_bars(folder: Path, n_minutes: int = 600) -> dict[str, str]:
    """A file of bars a symbol: a slow wave, spread 8 points, from two hours before START_NS."""
    files = {}
    for k, name in enumerate(NAMES):
        digits = DEFAULT_SYMBOLS[name].digits
        bars = np.zeros(n_minutes, BAR_DTYPE)
        minutes = np.arange(n_minutes)
        bars["time_ns"] = START_NS - 120 * NS_PER_MINUTE + minutes * NS_PER_MINUTE
        wave = 1.0 + 0.001 * np.sin((minutes + k) / 30)
        price = {"EURUSD": 1.1, "USDJPY": 150.0, "XAUUSD": 2000.0}[name]
        bars["open"] = np.round(price * wave, digits)
        bars["close"] = np.append(bars["open"][1:], bars["open"][-1])
        bars["high"] = np.maximum(bars["open"], bars["close"]) + 10.0**-digits
        bars["low"] = np.minimum(bars["open"], bars["close"]) - 10.0**-digits
        bars["volume"] = 10
        bars["spread"] = 8 / 10.0**digits
        path = folder / f"{name}.npy"
        np.save(path, bars)
        files[name] = str(path)
    return files


@pytest.fixture
def updates() -> list[MarketUpdate]:
    return []


@pytest.fixture
def make(tmp_path: Path, updates: list[MarketUpdate]) -> Iterator[MakeGateway]:
    made: list[Gateway] = []
    files = write_bars(tmp_path)

    def make(speed: float | None = None, **simulated: Any) -> Gateway:
        settings = {
            "specs": [vars_of(name) for name in NAMES],
            "source": {"kind": "replay", "files": files},
            "start_ns": START_NS,
            "ledger_path": str(tmp_path / "broker.sqlite"),
            "speed": speed,
            "account": {"login": 42},
            **simulated,
        }
        config = HostConfig(
            module="simulated",
            lock_path=str(tmp_path / "host.lock"),
            log_path=str(tmp_path / "host.log"),
            login=42,
            simulated=settings,
            stepped=speed is None,
        )
        gateway = Gateway(config, DEADLINES, on_market=updates.append)
        made.append(gateway)
        gateway.start()
        gateway.connect()
        gateway.watch(NAMES, START_NS)
        return gateway

    yield make
    for gateway in made:
        gateway.close()


def vars_of(name: str) -> dict[str, Any]:
    spec = DEFAULT_SYMBOLS[name]
    return {field: getattr(spec, field) for field in spec.__struct_fields__}


def order_at(gateway: Gateway, direction: int = 1, **kwargs: Any) -> OrderRequest:
    (quote,) = gateway.quotes(["EURUSD"])
    price = quote.ask if direction > 0 else quote.bid
    fields: dict[str, Any] = {"lots": 0.1, "magic": 2**32 + 1, "comment": "pm1", **kwargs}
    return OrderRequest(symbol="EURUSD", direction=direction, price=price, **fields)


def opens(update: MarketUpdate, name: str) -> list[int]:
    return np.frombuffer(update.bars.get(name, b""), BAR_DTYPE)["time_ns"].tolist()


def test_a_trade_from_entry_to_exit(make: MakeGateway) -> None:
    """Sent once, it is one position of our magic with its stop; closing by ticket leaves none,
    and the deals tell the same story in UTC."""
    gateway = make()
    gateway.advance(START_NS + NS_PER_MINUTE)
    entry = order_at(gateway, stop=1.05, target=1.2)
    result = gateway.send(entry)
    assert classify(result).filled
    (position,) = gateway.positions()
    assert (position.magic, position.direction, position.lots) == (2**32 + 1, 1, 0.1)
    assert (position.entry_price, position.stop, position.target) == (entry.price, 1.05, 1.2)
    assert position.opened_ns == START_NS + NS_PER_MINUTE
    assert classify(gateway.modify(position, 1.06, 0.0)).action is Action.TAKEN
    assert (gateway.positions()[0].stop, gateway.positions()[0].target) == (1.06, 0.0)
    gateway.advance(START_NS + 5 * NS_PER_MINUTE)
    gateway.send(order_at(gateway, -1, position=position.ticket))
    assert gateway.positions() == []
    trades = [d for d in gateway.deals(START_NS) if d.direction]
    assert [(d.direction, d.entry, d.position_id) for d in trades] == [
        (1, 0, position.ticket),
        (-1, 1, position.ticket),
    ]
    assert trades[1].time_ns == START_NS + 5 * NS_PER_MINUTE
    assert {o.magic for o in gateway.order_history(START_NS)} == {2**32 + 1}
    assert gateway.orders() == []


def test_steps_bring_every_bar_once(make: MakeGateway) -> None:
    """Batch by batch, over steps of any length, the bars are those of the history, and the
    quotes are the opens of the bars at T."""
    gateway = make()
    got: list[int] = []
    for minutes in (1, 2, 3, 7, 8, 30):
        t_ns = START_NS + minutes * NS_PER_MINUTE
        update = gateway.advance(t_ns)
        got += opens(update, "EURUSD")
        assert (update.batch_ns, update.market_ns) == (t_ns, t_ns)
        (at_t,) = gateway.rates("EURUSD", t_ns, t_ns + 1)
        quote = next(q for q in update.quotes if q.symbol == "EURUSD")
        assert (quote.time_ns, quote.bid) == (t_ns, at_t["open"])
    assert got == [START_NS + k * NS_PER_MINUTE for k in range(30)]
    history = gateway.rates("EURUSD", START_NS, START_NS + 30 * NS_PER_MINUTE)
    assert history["time_ns"].tolist() == got
    assert gateway.rates_last("EURUSD", 5)["time_ns"].tolist() == got[-5:]


def test_a_lost_reply_is_unknown_and_the_order_is_there_once(make: MakeGateway) -> None:
    """A terminal that hangs after executing: the deadline passes, the host is replaced, and the
    broker's ledger shows the position exactly once."""
    gateway = make()
    gateway.advance(START_NS + NS_PER_MINUTE)
    request = order_at(gateway)
    gateway.control({"op": "set_fault", "call": "order_send", "kind": "delay", "when": "after"})
    gateway._deadlines = Deadlines(order_s=0.5, read_s=20)
    with pytest.raises(OutcomeUnknown):
        gateway.send(request)
    assert [p.magic for p in gateway.positions()] == [2**32 + 1]
    assert gateway.account().login == 42
    update = gateway.advance(START_NS + 3 * NS_PER_MINUTE)
    assert opens(update, "EURUSD")[-1] == START_NS + 2 * NS_PER_MINUTE


def test_a_terminal_restart_is_mended_by_the_host(make: MakeGateway) -> None:
    """After its terminal restarted the module answers nothing; the host connects again."""
    gateway = make()
    gateway.advance(START_NS + NS_PER_MINUTE)
    gateway.control({"op": "set_fault", "call": "positions_get", "kind": "restart"})
    with pytest.raises(BrokerError, match="-10002"):
        gateway.positions()
    assert wait_until(lambda: reads(gateway), 10)
    assert gateway.restarts == 0


def reads(gateway: Gateway) -> bool:
    try:
        return gateway.positions() == []
    except BrokerError:
        return False


def test_a_refusal_is_returned_not_raised(make: MakeGateway) -> None:
    """What the broker says no to has its code, the check's refusals too; a symbol that the
    terminal does not have fails before anything leaves."""
    gateway = make()
    gateway.advance(START_NS + NS_PER_MINUTE)
    assert classify(gateway.send(order_at(gateway, lots=95.0))).name == "NO_MONEY"
    with pytest.raises(NotSent):
        gateway.send(OrderRequest(**{**fields_of(order_at(gateway)), "symbol": "NOSUCH"}))
    with pytest.raises(BrokerError):
        gateway.symbols(["NOSUCH"])
    gateway.control({"op": "set_switches", "algo_trading": False})
    verdict = classify(gateway.send(order_at(gateway)))
    assert (verdict.action, verdict.halts_entries) == (Action.REFUSED, True)
    assert gateway.positions() == []


def fields_of(request: OrderRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_contracts_and_money_by_the_terminal(make: MakeGateway) -> None:
    """Specifications survive the module's structs; profit and margin are in account currency;
    a step past the end of the data still answers, without bars after the last one."""
    gateway = make()
    assert gateway.symbols(NAMES, known=DEFAULT_SYMBOLS) == [DEFAULT_SYMBOLS[n] for n in NAMES]
    gateway.advance(START_NS)
    profit = gateway.calc_profit(1, "EURUSD", 1.0, open_price=1.1, close_price=1.101)
    assert profit == pytest.approx(100.0)
    assert gateway.calc_margin(1, "EURUSD", 1.0, price=1.1) > 0
    update = gateway.advance(START_NS + NS_PER_DAY)
    assert len(opens(update, "EURUSD")) == 480
    assert gateway.advance(START_NS + NS_PER_DAY + NS_PER_MINUTE).bars == {}


def test_real_time_brings_batches_as_they_close(
    make: MakeGateway, updates: list[MarketUpdate]
) -> None:
    """At 240×: batches in order, each with the bars before it, none missing, none twice; the
    quotes in between are newer than the last batch."""
    make(speed=240.0)
    n_wanted = 8
    assert wait_until(lambda: sum(u.batch_ns > 0 for u in updates) >= n_wanted, 20)
    batches = [u for u in list(updates) if u.batch_ns]
    times = [u.batch_ns for u in batches]
    assert times == sorted(set(times))
    assert all(t % NS_PER_MINUTE == 0 for t in times)
    for name in NAMES:
        got = [t for u in batches for t in opens(u, name)]
        assert got == [START_NS + k * NS_PER_MINUTE for k in range(len(got))]
        assert got[-1] == times[-1] - NS_PER_MINUTE
    assert all(u.market_ns >= u.batch_ns for u in batches)
    assert all(len(u.quotes) == len(NAMES) for u in batches)


def test_a_step_is_fast(make: MakeGateway) -> None:
    """A batch of three symbols through the whole chain takes about a millisecond."""
    gateway = make()
    took_s = []
    for k in range(1, 200):
        started_s = time.perf_counter()
        gateway.advance(START_NS + k * NS_PER_MINUTE)
        took_s.append(time.perf_counter() - started_s)
    print(f"advance: median {median(took_s) * 1e6:.0f} µs, best {min(took_s) * 1e6:.0f} µs")
    assert min(took_s) < 0.01


def test_bars_that_nobody_could_take_come_again(tmp_path: Path, make: MakeGateway) -> None:
    """An update that fails in the engine is not taken as told: its host goes, and the next one
    sends the batch's bars anew. No strategy misses a bar."""
    gateway = make(speed=600.0)
    taken: list[MarketUpdate] = []
    failed: list[MarketUpdate] = []

    def take(update: MarketUpdate) -> None:
        if update.batch_ns and not failed:
            failed.append(update)
            raise KeyError("on purpose")
        taken.append(update)

    gateway._on_market = take
    pid = gateway.host_pid
    assert wait_until(lambda: bool(failed), 60.0)
    (lost,) = opens(failed[0], "EURUSD")[-1:]
    assert wait_until(lambda: any(lost in opens(u, "EURUSD") for u in list(taken)), 60.0)
    assert gateway.host_pid != pid
