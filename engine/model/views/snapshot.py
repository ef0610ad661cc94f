"""What consoles see: one immutable picture of the engine, and the commands they send.

Times: `market_ns` is the terminal's clock in UTC (simulated in demo and replay);
`taken_ns` is the box's wall clock. Consoles age a snapshot against their own clock.
"""

from typing import Annotated, Literal

import msgspec

from engine.model.errors import Failure
from engine.model.jobs import JobView
from engine.model.views.commands import CommandName

PROTOCOL_VERSION = 2


class StrategyView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the strategy table. `id` is stable over the engine's life.

    `realised_ccy` and `open_ccy` are its parts of all closed positions, net of costs, and of what
    is open. `shadow_*`: what it would have made alone, in R, also while it has no vote.
    `on_kill`: what a kill of it would do to its book's position, "" where there is none.
    """

    id: int
    name: str
    kind: str
    symbol: str
    timeframe: str
    book: str
    state: Literal["ON", "OFF", "KILLED", "WARMING", "QUARANTINED", "SPENT", "WAITING"]
    signal: Literal["LONG", "FLAT", "SHORT"]
    confidence: float
    weight_frac: float
    pnl_today_ccy: float
    trades_today: int
    score: float
    detail: str = ""
    realised_ccy: float = 0.0
    open_ccy: float = 0.0
    shadow_trades: int = 0
    shadow_r: float = 0.0
    shadow_mean_r: float = 0.0
    on_kill: str = ""


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """What a book or a symbol has made: closed positions net of costs, and what is open.

    `exposure_frac`, of symbols only: all that is held of it on the account over equity, net, long
    positive.
    """

    name: str
    n_trades: int
    realised_ccy: float
    open_ccy: float
    detail: str = ""
    exposure_frac: float = 0.0


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One open position. `owner` is a book's name, or EXTERNAL. Stop and target: NaN for none.

    `goal` is what becomes of it: "" while it is to stay, else CLOSING, WAITING or UNKNOWN and why.
    """

    ticket: int
    owner: str
    symbol: str
    direction: Literal["BUY", "SELL"]
    lots: float
    entry_price: float
    price: float
    stop: float
    target: float
    profit_ccy: float
    opened_ns: int
    digits: int
    goal: str = ""


class PositionFate(msgspec.Struct, frozen=True, kw_only=True):
    """What a command does to an open position, and why.

    `becomes`: it "closes", it "keeps" (stays with its book), its order's outcome is "unsettled", or
    it is "closed" by now. `ticket` 0 and no lots where an order for it is only being looked for.
    """

    ticket: int
    owner: str
    symbol: str
    direction: Literal["BUY", "SELL", ""]
    lots: float
    becomes: Literal["closes", "keeps", "closed", "unsettled"]
    why: str = ""


class RiskView(msgspec.Struct, frozen=True, kw_only=True):
    """Gauges against their limits. Exposures, margin and VaR are fractions of equity.

    `net_exposure_frac` is Σ |net of a symbol|, `symbol_exposure_frac` and `book_exposure_frac` the
    largest symbol's and book's, long and short added. `var_frac` is a day's loss at 99 %,
    `volatility_frac` a day's, `correlation_max` the largest |correlation| between two symbols that
    are held; `shortfall_frac` is the mean loss beyond `var_frac`, `historical_*` both by the kept
    samples.
    `account_drawdown_frac` counts what others on the account made, `external_ccy`.
    `limits` are those in force by name, `limits_of_file` the portfolio file's.
    """

    balance_ccy: float
    equity_ccy: float
    high_water_ccy: float
    drawdown_frac: float
    drawdown_limits_frac: tuple[float, float, float]
    tier: int
    pnl_today_ccy: float
    gross_exposure_frac: float
    gross_exposure_max_frac: float
    margin_frac: float
    margin_level_frac: float
    daily_loss_frac: float = 0.0
    account_drawdown_frac: float = 0.0
    external_ccy: float = 0.0
    net_exposure_frac: float = 0.0
    symbol_exposure_frac: float = 0.0
    book_exposure_frac: float = 0.0
    var_frac: float = 0.0
    volatility_frac: float = 0.0
    correlation_max: float = 0.0
    shortfall_frac: float = 0.0
    historical_var_frac: float = 0.0
    historical_shortfall_frac: float = 0.0
    diversification_ratio: float = 0.0
    limits: dict[str, float] = {}
    limits_of_file: dict[str, float] = {}


class TerminalView(msgspec.Struct, frozen=True, kw_only=True):
    """How the terminal's host answers: the latest calls' median and worst, and what went wrong.

    `n_failed`: failed calls since the start. `host_restarts`: of the last minutes.
    `doubt`: why no entry is sent although the terminal answers; "" without one.
    """

    call_ms: float = 0.0
    call_worst_ms: float = 0.0
    n_failed: int = 0
    n_waiting: int = 0
    host_restarts: int = 0
    doubt: str = ""


class ControlView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is connected, and what was refused since the start, by kind (`engine.control.tally`)."""

    n_clients: int = 0
    refused: dict[str, int] = {}


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log goes. `trouble`: why it is not written, "" while it is; lines lost so far."""

    name: str = ""
    trouble: str = ""
    n_dropped: int = 0


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the event log; `level` is debug, info, warning, error or critical."""

    seq: int
    time_ns: int
    level: str
    source: str
    text: str


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: `n` events of one kind, the newest's text. `id` is stable over restarts.

    `time_ns` is the newest event's, on the engine's clock. `acked_ns`, the box's clock, is 0 and
    `acked_by` "" until somebody acknowledges it. `delivery` is a word and its channels, the worst
    first: FAILED (given up), PENDING (on its way), HELD (until quiet hours end), SENT, or NONE
    (shown here only).
    """

    id: int
    time_ns: int
    level: str
    source: str
    text: str
    n: int = 1
    acked_by: str = ""
    acked_ns: int = 0
    delivery: str = ""


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """A channel of alerts, OK, QUIET (its quiet hours) or FAILING; `n_waiting` have not got out."""

    name: str
    state: Literal["OK", "QUIET", "FAILING"]
    n_waiting: int = 0
    detail: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """State of the engine as it last knew it. `equity_points`: (market_ns, equity_ccy).

    `publish_ms` is the processor time that the snapshot before this one took.
    `alerts` are newest first, at most 200; `n_unacked_critical` counts all that are kept.
    `n_alerts_lost`: events that found the queue of alerts full, since the start.
    `audit_head`: the end of the audit trail that was told last, `ID:HASH of TIME`, "" before.
    """

    version: int
    mode: Literal["demo", "paper", "live", "replay"]
    account: int
    server: str
    currency: str
    state: Literal["STARTING", "ACTIVE", "REDUCING", "HALTED", "STOPPING"]
    state_reason: str
    connected: bool
    taken_ns: int
    market_ns: int
    data_age_s: float
    speed: float
    latency_ms: float
    journal_backlog: int
    database: str
    strategies: tuple[StrategyView, ...]
    positions: tuple[PositionView, ...]
    risk: RiskView
    equity_points: tuple[tuple[int, float], ...]
    events: tuple[EventView, ...]
    books: tuple[ResultView, ...] = ()
    symbols: tuple[ResultView, ...] = ()
    terminal: TerminalView = TerminalView()
    publish_ms: float = 0.0
    alerts: tuple[AlertView, ...] = ()
    n_unacked_critical: int = 0
    n_alerts_lost: int = 0
    channels: tuple[ChannelView, ...] = ()
    control: ControlView = ControlView()
    jobs: tuple[JobView, ...] = ()
    log: LogView = LogView()
    audit_head: str = ""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One operator command.

    `target`: a strategy, book, symbol or limit, the tickets to `close`, or the id of an alert or
    "all" for `ack`.
    `seen_version`: what was on screen.
    `value` carries the speed of `speed`, the new value of a `limit`, and for `ack` of "all" the
    newest alert's id that was on screen (0: all there are); `text` what `add` adds (a
    portfolio's tables as JSON), "close" where a `kill` closes whoever else votes, what becomes of
    the position at `remove` ("", "flatten", "keep", "to BOOK"), who is to `adopt` the position
    whose ticket is the target, and a `backtest` as the JSON of a `BacktestSpec`; `cancel` has a
    job's id as target.
    `sent_ns` is the sender's wall clock: a command older than 5 s is refused, except kill and halt.
    `id` makes a resend run once.
    """

    id: Annotated[str, msgspec.Meta(max_length=64)]
    name: CommandName
    target: Annotated[str, msgspec.Meta(max_length=256)] = ""
    value: float = 0.0
    text: str = ""
    seen_version: int = 0
    sent_ns: int = 0


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The engine's answer to a command: what it hit, or why it was not done.

    `positions`: what it does to each position that it concerns.
    `failure`: "wrong" (the operator must ask for something else), "refused" (by a rule or a role)
    or "failed"; "" where it is `ok`.
    """

    ok: bool
    text: str
    failure: Failure = ""
    positions: tuple[PositionFate, ...] = ()


def measured_by_limit(risk: RiskView) -> dict[str, float]:
    """Return what the account-wide limits are compared with now, by the limit's name."""
    return {
        "drawdown_reduce_frac": risk.drawdown_frac,
        "drawdown_stop_entries_frac": risk.drawdown_frac,
        "drawdown_flatten_frac": risk.drawdown_frac,
        "account_drawdown_max_frac": risk.account_drawdown_frac,
        "daily_loss_max_frac": risk.daily_loss_frac,
        "gross_exposure_max_frac": risk.gross_exposure_frac,
        "net_exposure_max_frac": risk.net_exposure_frac,
        "symbol_exposure_max_frac": risk.symbol_exposure_frac,
        "book_exposure_max_frac": risk.book_exposure_frac,
        "margin_max_frac": risk.margin_frac,
        "correlation_threshold_frac": risk.correlation_max,
        "var_max_frac": risk.var_frac,
    }
