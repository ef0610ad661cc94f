"""Makes the snapshot that consoles pull: at least four a second, immutable, numbered."""

import math
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from engine.decision import read
from engine.decision.account import TIER_RELEASE_FRAC
from engine.decision.release import STOPPED_TIER, is_flat
from engine.decision.state import Core
from engine.model.broker import AccountState
from engine.model.jobs import JobView
from engine.model.reasons import TradingState
from engine.model.views.snapshot import ControlView, LogView, RiskView, Snapshot, TerminalView
from engine.notify.views import AlertsView
from engine.settings.settings import Settings
from engine.trading.events import EventLog
from engine.trading.trader import EQUITY_POINTS_KEPT, Trader
from engine.views.details import CoreCopy, take_picture
from engine.views.fates import Previews
from engine.views.parts import book_views, position_views, risk_view, strategy_views, symbol_views

Standing = Literal["ACTIVE", "REDUCING", "HALTED"]


def trading_state(
    core: Core, *, flattening: bool, reason: str, withheld: str = ""
) -> tuple[Standing, str]:
    """Return the trading state with its reason.

    `reason` is who halted or what is in doubt; `withheld`: what keeps entries out for now.
    """
    account = read.account(core)
    if account.tier >= 3:
        return "HALTED", "drawdown tier 3: flattened; resume by an operator"
    if flattening:
        return "HALTED", f"flattening: {len(read.held_slots(core))} left"
    if account.trading == TradingState.HALTED:
        return "HALTED", reason or "entries halted by an operator"
    if account.trading == TradingState.REDUCING:
        return "REDUCING", reason or "in doubt: no new entries"
    if withheld:
        return "REDUCING", withheld
    if account.tier == 2:
        return "REDUCING", f"drawdown tier 2: no new entries{way_out(core)}"
    if not 0.0 < account.equity_ccy < math.inf:
        known = "gone" if account.equity_ccy <= 0.0 else "unknown: a position has no price"
        return "REDUCING", f"equity is {known}; no new entries"
    fallen, most = account.account_drawdown_frac, read.limits(core).account_drawdown_max_frac
    if not fallen <= most:
        text = f"account drawdown {fallen:.2%} where {most:.2%} is the most: no new entries"
        return "REDUCING", text
    return "ACTIVE", ""


def way_out(core: Core) -> str:
    """Return how a flat account leaves tier 2, with a semicolon before; "" while something is held.

    Its equity cannot move any more, so that nothing but time or an operator's word ends the tier.
    """
    account, limits = read.account(core), read.limits(core)
    if account.tier != STOPPED_TIER or not is_flat(core):
        return ""
    out = "; nothing is held, so equity cannot recover: `resume --rebase` measures from today's"
    days = int(limits.drawdown_release_days)
    if days:
        left = max(days + 1 - account.stopped_days, 1)
        out += f", or it is released in {left} server day(s)"
    return out


def kept_out(core: Core, currency: str) -> str:
    """Return what keeps every entry out though nobody halted, with its figures; "" for nothing."""
    account, limits = read.account(core), read.limits(core)
    equity = account.equity_ccy
    if not 0.0 < equity < math.inf:
        known = "gone" if equity <= 0.0 else "unknown: a position has no price"
        return f"equity is {known}"
    if account.tier == STOPPED_TIER:
        stop_frac = limits.drawdown_stop_entries_frac
        return (
            f"drawdown tier 2: equity {equity:,.2f} {currency} is "
            f"{account.drawdown_frac:.2%} below the high-water mark "
            f"{account.high_water_ccy:,.2f}, entries come back below "
            f"{TIER_RELEASE_FRAC * stop_frac:.2%}{way_out(core)}"
        )
    fallen, most = (
        account.account_drawdown_frac,
        limits.account_drawdown_max_frac,
    )
    if not fallen <= most:
        whole = equity + account.external_ccy
        return (
            f"account drawdown: {whole:,.2f} {currency}, others' results included, is "
            f"{fallen:.2%} below its high-water mark {account.account_high_ccy:,.2f}, "
            f"where {most:.2%} is the most; `resume --rebase` measures from today's"
        )
    return ""


EVERY_S = 0.2

State = Literal["STARTING", "ACTIVE", "REDUCING", "HALTED", "STOPPING"]

_NOTHING = RiskView(
    balance_ccy=0.0,
    equity_ccy=0.0,
    high_water_ccy=0.0,
    drawdown_frac=0.0,
    drawdown_limits_frac=(0.04, 0.08, 0.12),
    tier=0,
    pnl_today_ccy=0.0,
    gross_exposure_frac=0.0,
    gross_exposure_max_frac=1.0,
    margin_frac=0.0,
    margin_level_frac=float("inf"),
)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine knows beside its trader."""

    market_ns: int
    data_age_s: float
    connected: bool
    journal_backlog: int
    database: str
    audit_head: str
    terminal: TerminalView
    control: ControlView
    jobs: tuple[JobView, ...]
    log: LogView


class Publisher:
    """Holds the newest snapshot; any thread may read it."""

    def __init__(
        self, settings: Settings, events: EventLog, alerts: Callable[[], AlertsView] = AlertsView
    ) -> None:
        self.state: State = "STARTING"
        self.reason = "starting"
        self.latency_ms = 0.0
        self.speed = settings.demo.speed if settings.mode == "demo" else 1.0
        self._mode = settings.mode
        self._events = events
        self._alerts = alerts
        self._database = ""
        self._account: AccountState | None = None
        self._version = 0
        self._published_s = 0.0
        self._made_in_ms = 0.0
        self._previews = Previews()
        self.picture: CoreCopy | None = None
        self._snapshot = self._make(None, None)

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot; before trading starts it is made as it is asked for."""
        if self._account is None or self.state == "STOPPING":
            self._snapshot = self._make(None, None)
        return self._snapshot

    def ready(self, account: AccountState, trader: Trader) -> None:
        """Trading is about to start."""
        self._account = account
        self._judge(trader)

    def keep_equity(self, trader: Trader) -> None:
        """Add the batch's equity to the curve."""
        account = read.account(trader.core)
        trader.equity_points.append((account.batch_ns, account.equity_ccy))
        del trader.equity_points[:-EQUITY_POINTS_KEPT]

    def publish(self, trader: Trader, view: View) -> None:
        """Make a new snapshot if the last one is old enough."""
        now_s = time.monotonic()
        if now_s - self._published_s < EVERY_S:
            return
        self._published_s = now_s
        began_s = time.thread_time()
        self._judge(trader)
        self._note_database(view.database)
        self._snapshot = self._make(trader, view)
        self.picture = take_picture(trader, self.picture)
        self._made_in_ms = 1000.0 * (time.thread_time() - began_s)

    def _note_database(self, status: str) -> None:
        """Make an event of a database that goes or comes back."""
        before, self._database = self._database, status
        away = status.startswith("away")
        if away and not before.startswith("away"):
            self._events.add("error", "database", f"{status}; rows wait in the journal")
        elif status == "ok" and before.startswith("away"):
            self._events.add("info", "database", "back")

    def _judge(self, trader: Trader) -> None:
        if self.state == "STOPPING":
            return
        before = self.state, self.reason
        self.state, self.reason = trading_state(
            trader.core,
            flattening=trader.flattening is not None,
            reason=trader.reason,
            withheld=trader.withheld,
        )
        if before[0] != self.state or (before[1] != self.reason and self.state != "ACTIVE"):
            level = "info" if self.state == "ACTIVE" else "warning"
            self._events.add(level, "risk", f"{self.state} {self.reason}".strip())

    def _make(self, trader: Trader | None, view: View | None) -> Snapshot:
        self._version += 1
        account, alerts = self._account, self._alerts()
        # Without a trader nothing is known of positions: HALTED would say that there are none.
        state = self.state if trader is not None or self.state == "STOPPING" else "STARTING"
        return Snapshot(
            version=self._version,
            mode=self._mode,
            account=0 if account is None else account.login,
            server="" if account is None else account.server,
            currency="" if account is None else account.currency,
            state=state,
            state_reason=self.reason,
            connected=view is not None and view.connected,
            taken_ns=time.time_ns(),
            market_ns=0 if view is None else view.market_ns,
            data_age_s=0.0 if view is None else view.data_age_s,
            speed=self.speed,
            latency_ms=self.latency_ms,
            publish_ms=self._made_in_ms,
            journal_backlog=0 if view is None else view.journal_backlog,
            database="starting" if view is None else view.database,
            audit_head="" if view is None else view.audit_head,
            terminal=TerminalView() if view is None else view.terminal,
            control=ControlView() if view is None else view.control,
            jobs=() if view is None else view.jobs,
            log=LogView() if view is None else view.log,
            strategies=() if trader is None else strategy_views(trader, self._previews),
            positions=() if trader is None else position_views(trader),
            books=() if trader is None else book_views(trader),
            symbols=() if trader is None else symbol_views(trader),
            risk=_NOTHING if trader is None else risk_view(trader),
            equity_points=() if trader is None else tuple(trader.equity_points),
            events=self._events.newest(),
            alerts=alerts.alerts,
            n_unacked_critical=alerts.n_unacked_critical,
            n_alerts_lost=alerts.n_lost,
            channels=alerts.channels,
        )
