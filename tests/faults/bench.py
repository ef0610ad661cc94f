"""A trader on a real gateway, terminal host and simulated broker, moved a minute at a time.

The broker's own word (`positions`, `deals`) is the truth that everything is compared with.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import msgspec
import numpy as np

from engine.execution.journal import Journal
from engine.execution.terminal import Terminal
from engine.hosts.in_process import InProcessHosts
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.broker import (
    DEAL_TYPE_BALANCE,
    BrokerDeal,
    BrokerPosition,
    MarketUpdate,
    OrderRequest,
    OrderResult,
)
from engine.model.errors import BrokerError
from engine.model.server_clock import ServerClock
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from engine.replay.setup import simulated_terminal, write_prices
from engine.runtime.accepted import obey_accepted
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.protocol import HostConfig
from engine.terminal.simulated.broker.ledger import SimLedger
from engine.trading.events import EventLog
from engine.trading.restart import book_numbers, reconcile, restore
from engine.trading.trader import Trader
from tests.faults.scripted import code_of

SCRIPTED = Path(__file__).with_name("scripted.py")
# A Wednesday, ten o'clock.
START_NS = 1_768_348_800_000_000_000 + 10 * NS_PER_HOUR
START_MINUTE = START_NS // NS_PER_MINUTE
# Back to the day before: a window begins at midnight, warmed up.
HISTORY = 620
LENGTH = 240
LOTS = 0.5
BID, POINT = 1.1, 1e-5
SIZING = f'sizing = {{ method = "fixed_lots", lots = {LOTS} }}'


def portfolio(plans: Mapping[str, str], *, margin_mode: str = "hedging", extra: str = "") -> str:
    """Return a portfolio of scripted strategies on EURUSD, a name and a plan each."""
    lines = ['[account]\ncurrency = "USD"', f'margin_mode = "{margin_mode}"', "[symbols.EURUSD]"]
    lines += [
        f"""[[strategy]]
name = "{name}"
kind = "scripted"
symbol = "EURUSD"
{SIZING if "[[book]]" not in extra else ""}
[strategy.params]
plan = {code_of(plan)}
start_minute = {START_MINUTE}
"""
        for name, plan in plans.items()
    ]
    return "\n".join([*lines, extra])


def level_bars(**lows: float) -> Bars:
    """Return bars that stand still at BID; `at_7=1.09` lets the bar of minute 7 fall so deep."""
    bars = np.zeros(HISTORY + LENGTH, BAR_DTYPE)
    bars["time_ns"] = START_NS + (np.arange(len(bars)) - HISTORY) * NS_PER_MINUTE
    for field in ("open", "high", "low", "close"):
        bars[field] = BID
    bars["volume"], bars["spread"] = 10.0, 8 * POINT
    for at, low in lows.items():
        bars["low"][HISTORY + int(at.removeprefix("at_"))] = low
    return bars


class Current:
    """The bench's gateway of the moment: another one takes over when the host is changed."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bench.gateway, name)


class Bench:
    """One engine's trading parts. `now_s` is the monotonic clock of reconciliation.

    `broker`, `account`: what the simulated terminal is beside what the portfolio says.
    """

    def __init__(
        self,
        work: Path,
        text: str,
        bars: Bars | None = None,
        *,
        broker: Mapping[str, object] = MappingProxyType({}),
        account: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.work = work
        self._broker, self._account = broker, account
        self.compiled = compile_portfolio(parse_portfolio(text, "test"))
        self.bars = level_bars() if bars is None else bars
        self.market_ns = START_NS
        self.now_s = 0.0
        self.terminal: Callable[[Gateway], Terminal] = lambda _: cast(Terminal, Current(self))
        self.gateway = self._open_gateway()
        self.start()

    def start(self) -> list[str]:
        """Start a trader from what journal and terminal say; return what does not balance."""
        self.events = EventLog(lambda: self.market_ns)
        self.journal = Journal(self.work / "journal.sqlite", durable=False)
        account = self.gateway.connect()
        hosts = InProcessHosts(self.compiled.strategies, {"EURUSD": POINT}, "UTC", [SCRIPTED])
        assert hosts.load() == {}
        self.trader = Trader(
            self.compiled,
            terminal=self.terminal(self.gateway),
            hosts=hosts,
            journal=self.journal,
            clock=ServerClock("new_york+7"),
            events=self.events,
            account=account.login,
            balance_ccy=account.balance_ccy,
            book_numbers=book_numbers(self.journal, self.compiled),
            now_ns=lambda: self.market_ns,
            monotonic_s=lambda: self.now_s,
        )
        lost = restore(self.trader, self.journal)
        obey_accepted(self.trader, self.journal)
        past = self.bars[self.bars["time_ns"] + NS_PER_MINUTE <= self.market_ns]
        assert hosts.start({"EURUSD": past}) == {}
        complaints = lost + reconcile(self.trader, self.journal)
        self.trader.save()
        return complaints

    def crash(self) -> list[str]:
        """Lose everything that only memory knew, and start again."""
        self.journal.close()
        return self.start()

    def restart_host(self) -> None:
        """Have another terminal host on the same broker."""
        self.gateway.close()
        self.gateway = self._open_gateway()

    def advance(self, minutes: int = 1) -> MarketUpdate:
        """Let the market go on without the engine."""
        self.wait_connected()
        self.market_ns += minutes * NS_PER_MINUTE
        return self.gateway.advance(self.market_ns)

    def wait_connected(self) -> None:
        """Give the host the moment it needs to connect anew after a fault of the pipe."""
        deadline_s = time.monotonic() + 10.0
        while True:
            try:
                self.gateway.positions()
                return
            except BrokerError:
                if time.monotonic() > deadline_s:
                    raise

    def step(self, minutes: int = 1) -> None:
        """Run so many batches, as the engine's loop does."""
        for _ in range(minutes):
            self.trader.on_batch(self.advance())
            self.trader.pursue()

    def look(self) -> None:
        """Look at the terminal between batches, as the engine does every second."""
        self.wait_connected()
        self.trader.positions.book_broker_closes()
        self.trader.settle_unknown()
        self.trader.pursue()

    def look_for_s(self, seconds: int) -> None:
        """Look every five seconds for so long."""
        for _ in range(seconds // 5):
            self.now_s += 5.0
            self.look()

    def fault(self, **fields: object) -> None:
        """Script a fault of the simulated terminal."""
        self.gateway.control({"op": "set_fault", **fields})

    def by_hand(self, direction: int, lots: float, *, position: int = 0, magic: int = 0) -> int:
        """Trade at the terminal as somebody else would; return the order's ticket."""
        done: OrderResult = self.gateway.send(
            OrderRequest(
                symbol="EURUSD",
                direction=direction,
                lots=lots,
                price=BID,
                magic=magic,
                comment="",
                position=position,
            )
        )
        assert done.retcode == 10009, done
        return done.order

    def pay(self, cash_ccy: float, *, told: bool = True) -> None:
        """Pay cash in, or out if negative, as the broker's office does; `told`: by a deal."""
        self.gateway.close()
        ledger = SimLedger(self.work / "broker.sqlite")
        account = ledger.account()
        assert account is not None
        newest = ledger.deals()[0]
        assert newest.type == DEAL_TYPE_BALANCE
        deal = msgspec.structs.replace(
            newest,
            ticket=account.next_deal,
            profit=cash_ccy,
            time_msc=newest.time_msc + (self.market_ns - START_NS) // NS_PER_MS,
        )
        account.next_deal += 1
        account.balance_ccy += cash_ccy
        ledger.write(account, deals=[deal] if told else [])
        ledger.close()
        self.gateway = self._open_gateway()

    @property
    def held(self) -> list[BrokerPosition]:
        """What the broker holds."""
        return self.gateway.positions()

    @property
    def deals(self) -> list[BrokerDeal]:
        """The broker's trading deals."""
        return [d for d in self.gateway.deals(0) if d.direction]

    def slot(self, name: str) -> np.void:
        """What the engine believes of a book of one."""
        slot: np.void = self.trader.core.positions[self.trader.names.slots.index(f"{name}/EURUSD")]
        return slot

    def member(self, name: str) -> int:
        """A strategy's index."""
        return self.trader.names.members.index(name)

    def said(self, text: str, level: str = "") -> bool:
        """Tell whether an event with this text was shown."""
        return any(text in e.text and level in ("", e.level) for e in self.events.newest())

    def check_books(self) -> None:
        """Engine and broker agree: each position owned once, balance to the cent."""
        ours = self.trader.core.positions[self.trader.core.positions["direction"] != 0]
        external = {p.identifier for p in self.trader.positions.external}
        there = {
            p.identifier: (p.direction, round(p.lots, 8), p.entry_price)
            for p in self.held
            if p.identifier not in external
        }
        assert there == {
            int(s["ticket"]): (int(s["direction"]), round(float(s["lots"]), 8), s["entry_price"])
            for s in ours
        }
        entries = [d.magic for d in self.deals if d.entry == 0 and d.magic]
        assert len(entries) == len(set(entries)), "an order was sent twice"

    def check_balance(self) -> None:
        """The engine's balance is the broker's."""
        believed = float(self.trader.core.account[0]["balance_ccy"])
        assert abs(believed - self.gateway.account().balance_ccy) < 0.005

    def close(self) -> None:
        """End the parts."""
        self.gateway.close()
        self.journal.close()

    def host_config(self) -> HostConfig:
        """Return how to run the terminal host."""
        simulated: dict[str, Any] = simulated_terminal(
            self.compiled,
            write_prices({"EURUSD": self.bars}, self.work / "prices"),
            start_ns=START_NS,
            server_clock="new_york+7",
            ledger_path=self.work / "broker.sqlite",
        )
        account = {**simulated["account"], **self._account}
        return HostConfig(
            module="simulated",
            lock_path=str(self.work / "terminal.lock"),
            log_path=str(self.work / "terminal.log"),
            simulated={**simulated, **self._broker, "account": account},
            stepped=True,
        )

    def deadlines(self) -> Deadlines:
        """Return how long calls may take."""
        return Deadlines(order_s=1.0)

    def _open_gateway(self) -> Gateway:
        gateway = Gateway(self.host_config(), self.deadlines(), on_market=lambda update: None)
        gateway.start()
        gateway.connect()
        gateway.watch(["EURUSD"], self.market_ns)
        return gateway
