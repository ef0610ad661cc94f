"""A scripted feed and a frozen clock: the console's engine in tests."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.model.errors import ControlError, Unanswered
from engine.model.times import NS_PER_MINUTE, NS_PER_S
from engine.model.views.details import Detail, Question
from engine.model.views.snapshot import (
    AlertView,
    ChannelView,
    Command,
    EventView,
    PositionView,
    Reply,
    ResultView,
    RiskView,
    Snapshot,
    StrategyView,
    TerminalView,
)
from pmpro_tui.console.app import ConsoleApp
from tests.console.scripted_details import DETAILS, JOBS

START_NS = 1_781_094_785 * NS_PER_S

_KINDS = (
    ("ma_cross", "ma"),
    ("rsi_reversion", "rsi"),
    ("support_resistance", "sr"),
    ("bollinger_reversion", "boll"),
    ("donchian_breakout", "donch"),
    ("macd", "macd"),
)
_SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")
_STATES = ("ON", "ON", "WAITING", "ON", "SPENT", "ON", "OFF", "ON", "WARMING")
_SIGNALS = ("LONG", "FLAT", "SHORT", "FLAT", "LONG")


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = START_NS

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * NS_PER_S)


def strategies(n: int) -> tuple[StrategyView, ...]:
    """Return `n` rows of every state and sign."""
    rows = []
    for i in range(n):
        kind, short = _KINDS[i % 6]
        symbol = _SYMBOLS[i // 6 % 4]
        state = "QUARANTINED" if i == 10 else "KILLED" if i == 16 else _STATES[i % 9]
        rows.append(
            StrategyView(
                id=i + 1,
                name=f"{symbol[:3].lower()}-{short}-{14 + 3 * i}",
                kind=kind,
                symbol=symbol,
                timeframe=("M1", "M5", "M15")[i % 3],
                book=("eur-trend", "gbp-mixed", "yen", "metals")[i // 6 % 4],
                state=state,
                signal=_SIGNALS[i % 5],
                confidence=0.35 + 0.05 * (i % 9),
                weight_frac=1.0 / max(n, 1),
                pnl_today_ccy=0.0 if i % 7 == 3 else round(math.sin(i * 1.7) * 417.31, 2),
                trades_today=i * 3 % 8,
                score=math.nan if state == "WARMING" else round(math.cos(i * 0.9) * 1.8, 2),
                detail="deadline missed: 5.0 s" if state == "QUARANTINED" else "",
            )
        )
    return tuple(rows)


def positions() -> tuple[PositionView, ...]:
    """Return five positions; the last one is nobody's here."""
    rows = (
        ("eur-trend", "EURUSD", "BUY", 0.42, 1.08417, 1.08502, 1.08117, 1.09017, 35.70, 5),
        ("gbp-mixed", "GBPUSD", "SELL", 0.31, 1.27311, 1.27408, 1.27711, 1.26511, -30.07, 5),
        ("yen", "USDJPY", "BUY", 0.25, 156.412, 156.873, 155.812, math.nan, 73.47, 3),
        ("metals", "XAUUSD", "SELL", 0.05, 2318.42, 2311.07, 2330.42, 2294.42, 36.75, 2),
        ("EXTERNAL", "EURUSD", "SELL", 1.10, 1.08466, 1.08510, math.nan, math.nan, -48.40, 5),
    )
    return tuple(
        PositionView(
            ticket=501_233_000 + 17 * i,
            owner=owner,
            symbol=symbol,
            direction=side,
            lots=lots,
            entry_price=entry,
            price=price,
            stop=stop,
            target=target,
            profit_ccy=profit,
            opened_ns=START_NS - (i + 1) * 17 * NS_PER_MINUTE,
            digits=digits,
        )
        for i, (owner, symbol, side, lots, entry, price, stop, target, profit, digits) in enumerate(
            rows
        )
    )


def risk(drawdown_frac: float = 0.0231) -> RiskView:
    tier = sum(drawdown_frac >= limit for limit in (0.04, 0.08, 0.12))
    return RiskView(
        balance_ccy=101_871.95,
        equity_ccy=101_939.40,
        high_water_ccy=104_350.02,
        drawdown_frac=drawdown_frac,
        drawdown_limits_frac=(0.04, 0.08, 0.12),
        tier=tier,
        pnl_today_ccy=-412.77,
        gross_exposure_frac=2.37,
        gross_exposure_max_frac=30.0,
        margin_frac=0.0241,
        margin_level_frac=41.5,
        daily_loss_frac=0.0040,
        net_exposure_frac=1.02,
        symbol_exposure_frac=1.31,
        book_exposure_frac=1.75,
        var_frac=0.0124,
        volatility_frac=0.0053,
        correlation_max=0.62,
        limits=LIMITS | {"order_max_lots": 60.0},
        limits_of_file=LIMITS,
    )


LIMITS = {
    "drawdown_reduce_frac": 0.04,
    "drawdown_stop_entries_frac": 0.08,
    "drawdown_flatten_frac": 0.12,
    "daily_loss_max_frac": 0.03,
    "var_max_frac": 0.05,
    "gross_exposure_max_frac": 30.0,
    "net_exposure_max_frac": 10.0,
    "symbol_exposure_max_frac": 10.0,
    "margin_max_frac": 0.5,
    "correlation_threshold_frac": 0.8,
    "order_max_lots": 50.0,
    "repeated_minutes": 60.0,
}


def symbols() -> tuple[ResultView, ...]:
    """Return what is held of each symbol, long, short and nothing."""
    rows = (("EURUSD", -0.73, -12.7), ("GBPUSD", -0.38, -30.07), ("USDJPY", 0.24, 73.47))
    held = tuple(
        ResultView(name=name, n_trades=12, realised_ccy=31.5, open_ccy=open_ccy, exposure_frac=frac)
        for name, frac, open_ccy in rows
    )
    return (*held, ResultView(name="XAUUSD", n_trades=0, realised_ccy=0.0, open_ccy=0.0))


def events(n: int = 40) -> tuple[EventView, ...]:
    samples = (
        ("info", "gbp-mixed", "entry GBPUSD SELL 0.31 at 1.27311"),
        ("info", "eur-trend", "exit EURUSD BUY 0.40 at 1.08502, target, +121.40 USD"),
        ("warning", "risk", "EURUSD entry refused: SPREAD 31 points, 25 allowed"),
        ("info", "engine", "batch 12:31 in 2.1 ms"),
        ("error", "host", "xau-donch-44 quarantined: deadline missed, 5.0 s"),
        ("critical", "terminal", "order outcome unknown: GBPUSD takes no entries until settled"),
    )
    return tuple(
        EventView(
            seq=i + 1,
            time_ns=START_NS - (n - i) * 37 * NS_PER_S,
            level=samples[i % 6][0],
            source=samples[i % 6][1],
            text=samples[i % 6][2],
        )
        for i in range(n)
    )


def alerts() -> tuple[AlertView, ...]:
    """Return alerts of each level and delivery; the newest critical one nobody has seen."""
    rows = (
        ("critical", "terminal", "order outcome unknown: GBPUSD takes no entries", 1, "", "SENT"),
        ("error", "host", "xau-donch-44 quarantined: deadline missed, 5.0 s", 3, "", "PENDING"),
        ("warning", "risk", "EURUSD entries refused: SPREAD", 41, "", "HELD until 07:00"),
        ("critical", "risk", "drawdown 8.71%: tier 2, no new entries", 1, "alice", "SENT"),
        ("info", "engine", "database is back, 1,288 rows written", 1, "", "FAILED 500"),
    )
    return tuple(
        AlertView(
            id=90 - i,
            time_ns=START_NS - (i + 1) * 11 * NS_PER_MINUTE,
            level=level,
            source=source,
            text=text,
            n=n,
            acked_by=acked_by,
            acked_ns=START_NS - 5 * NS_PER_MINUTE if acked_by else 0,
            delivery=delivery,
        )
        for i, (level, source, text, n, acked_by, delivery) in enumerate(rows)
    )


CHANNELS = (
    ChannelView(name="telegram", state="OK"),
    ChannelView(name="mail", state="FAILING", n_waiting=2, detail="500 from smtp"),
)
ALARM: dict[str, object] = {"alerts": alerts(), "channels": CHANNELS, "n_unacked_critical": 1}


def equity(n: int = 400) -> tuple[tuple[int, float], ...]:
    return tuple(
        (
            START_NS - (n - i) * NS_PER_MINUTE,
            round(
                100_000
                + 9.5 * i
                + 900 * math.sin(i / 23)
                - 2600 * math.exp(-(((i - 300) / 25) ** 2)),
                2,
            ),
        )
        for i in range(n)
    )


@dataclass
class ScriptedFeed:
    """Answers with `snapshot_now`; records commands; can fail, hang and refuse."""

    clock: Clock
    changes: dict[str, object] = field(default_factory=dict)
    version: int = 1
    sent: list[Command] = field(default_factory=list)
    answered: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    hang: threading.Event | None = None
    reply: Reply = Reply(ok=True, text="closing 0.42 EURUSD")
    closed: bool = False
    poll_s: float = 3600.0
    token: str = ""
    wants_token: bool = False
    tokens: list[str] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    details: dict[type[Any], Callable[[Any], Detail]] = field(default_factory=lambda: dict(DETAILS))
    theme: str = "dark"
    zone: str = "UTC"

    def now(self, **changes: object) -> Snapshot:
        fields: dict[str, object] = {
            "version": self.version,
            "mode": "demo",
            "account": 10_012_345,
            "server": "PmproSim-Demo",
            "currency": "USD",
            "state": "ACTIVE",
            "state_reason": "",
            "connected": True,
            "taken_ns": self.clock.now,
            "market_ns": self.clock.now,
            "data_age_s": 0.3,
            "speed": 60.0,
            "latency_ms": 4.2,
            "journal_backlog": 0,
            "database": "ok",
            "strategies": strategies(24),
            "positions": positions(),
            "risk": risk(),
            "equity_points": equity(),
            "events": events(),
            "symbols": symbols(),
            "terminal": TerminalView(call_ms=2.1, call_worst_ms=31.0, n_failed=2),
            "jobs": JOBS,
        }
        return Snapshot(**(fields | self.changes | changes))  # type: ignore[arg-type]

    def snapshot(self, since: int, *, events_after: int) -> Snapshot | None:
        if self.hang is not None:
            self.hang.wait(20)
        if self.failure is not None:
            raise self.failure
        if since == self.version:
            return None
        now = self.now()
        fresh = tuple(event for event in now.events if event.seq > events_after)
        return msgspec.structs.replace(now, events=fresh)

    def ask(self, question: Question) -> Detail:
        self.asked.append(question)
        if type(question) not in self.details:
            raise Unanswered("nobody knows")
        return self.details[type(question)](question)

    def send(self, command: Command) -> Reply:
        self.sent.append(command)
        self.tokens.append(self.token)
        self.answered.set()
        return self.reply

    def close(self) -> None:
        self.closed = True


def console(feed: ScriptedFeed, **options: object) -> ConsoleApp:
    """Return a console on the feed whose clock moves only by the test's hand."""
    return ConsoleApp(
        lambda _: feed,
        poll_s=3600.0,
        now_ns=feed.clock,
        monotonic_ns=feed.clock,
        **options,  # type: ignore[arg-type]
    )


LOST = ControlError("connection lost: broken pipe")


async def settle(pilot: Any, app: ConsoleApp) -> None:
    """Wait until the first snapshot is drawn."""
    await until(pilot, lambda: app.hub.shown is not None)
    await pilot.pause()


async def until(pilot: Any, condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Wait for what a thread brings about."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "deadline"
        await pilot.pause(0.005)


def drive(
    app: ConsoleApp, script: Callable[[Any], Awaitable[None]], size: tuple[int, int] = (120, 40)
) -> None:
    """Run a console headless, and `script` on it once the first snapshot is drawn."""

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settle(pilot, app)
            await script(pilot)

    asyncio.run(run())
