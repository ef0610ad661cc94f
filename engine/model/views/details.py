"""What consoles ask for beside the snapshot: details that are too large or too rare for it.

Each question is answered by the record of its name. Times are int64 ns UTC, money is the
account's, NaN says that there is none. `database` is "ok", or why what it keeps is missing.
"""

from typing import Annotated, Any, Literal

import msgspec

from engine.model.parity import ParityScore

PAGE_MAX = 500


class RulesOf(msgspec.Struct, frozen=True, kw_only=True, tag="rules"):
    """What the rules last said, of one slot ("BOOK/SYMBOL"); "" for all slots in short."""

    slot: str = ""


class Correlations(msgspec.Struct, frozen=True, kw_only=True, tag="correlation"):
    """The correlation of every symbol with every other one."""


class StrategyOf(msgspec.Struct, frozen=True, kw_only=True, tag="strategy"):
    """Everything about one strategy."""

    name: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 50


class RecordOf(msgspec.Struct, frozen=True, kw_only=True, tag="record"):
    """An order down to its signals and deals: by ticket or magic; and an audit entry, by its id."""

    order: int = 0
    audit_id: int = 0


class AuditOf(msgspec.Struct, frozen=True, kw_only=True, tag="audit"):
    """Audit entries, oldest first: the newest, or by one bound those next to an id or a time.

    `after_ns` includes that time; the other bounds exclude. `pattern`: a regular expression over
    event, actor, status and details.
    """

    before_id: int = 0
    after_id: int = 0
    after_ns: int = 0
    pattern: Annotated[str, msgspec.Meta(max_length=200)] = ""
    event_type: str = ""
    status: Literal["", "SUCCESS", "FAILED"] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 100


class OrdersOf(msgspec.Struct, frozen=True, kw_only=True, tag="orders"):
    """Orders, oldest first; bounds as in `AuditOf`."""

    before_id: int = 0
    after_id: int = 0
    after_ns: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 100


class BacktestsOf(msgspec.Struct, frozen=True, kw_only=True, tag="backtests"):
    """Stored backtests, newest first; and what a new one can be made of."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 100


class BacktestOf(msgspec.Struct, frozen=True, kw_only=True, tag="backtest"):
    """One stored backtest with its equity curve."""

    id: int


Question = (
    RulesOf | Correlations | StrategyOf | RecordOf | AuditOf | OrdersOf | BacktestsOf | BacktestOf
)


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule said at a decision: it refuses unless `value` keeps to `limit`; inf is none."""

    name: str
    value: float
    limit: float
    headroom: float
    ok: bool


class SlotView(msgspec.Struct, frozen=True, kw_only=True):
    """A slot's last decision in short.

    `decided_ns` 0: none since the engine's start; `refusal` "": accepted. `nearest` is the rule
    that used the largest part of its limit, `used_frac` that part.
    """

    name: str
    decided_ns: int = 0
    refusal: str = ""
    nearest: str = ""
    used_frac: float = float("nan")


class Rules(msgspec.Struct, frozen=True, kw_only=True, tag="rules"):
    """The slots in the portfolio's order, and the rules of the one asked about, as asked."""

    slots: tuple[SlotView, ...]
    slot: str = ""
    rules: tuple[RuleView, ...] = ()


class Correlation(msgspec.Struct, frozen=True, kw_only=True, tag="correlation"):
    """Correlations of the sampled returns, shrunk as the rules have them; NaN where unknown.

    `threshold`: above it two symbols are the same bet. `net_frac`: what is held, over equity.
    """

    symbols: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    n_samples: tuple[int, ...]
    net_frac: tuple[float, ...]
    threshold: float


class VoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A member's word in its book."""

    strategy: str
    votes: bool
    direction: int
    confidence: float
    share: float
    entry_share: float = 0.0


class SignalView(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a strategy's output."""

    time_ns: int
    strategy: str
    symbol: str
    signal: str
    confidence: float


class TradeView(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's part of a trade; `exit_ns` 0 while it is open. `profit_ccy` is net of costs."""

    order: int
    symbol: str
    direction: str
    lots: float
    entry_ns: int
    entry_price: float
    exit_ns: int
    exit_price: float
    reason: str
    share_frac: float
    profit_ccy: float


class StrategyDetail(msgspec.Struct, frozen=True, kw_only=True, tag="strategy"):
    """One strategy: what it is, what its book thinks, what it has done.

    `days_r`: its shadow's results of the latest days, in R. `equity`: (time_ns, sum of its net
    profits), from the trades shown. `parity`: its latest days beside a backtest, oldest first.
    """

    name: str
    kind: str
    symbol: str
    timeframe: str
    book: str
    params: dict[str, bool | int | float | str]
    combine: str
    sizing: str
    votes: tuple[VoteView, ...]
    days_r: tuple[float, ...]
    signals: tuple[SignalView, ...] = ()
    trades: tuple[TradeView, ...] = ()
    equity: tuple[tuple[int, float], ...] = ()
    parity: tuple[ParityScore, ...] = ()
    database: str = "ok"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An audit entry; `order` is the ticket or magic that its details name, 0 for none.

    `box_ns` is the box's time, 0 where an earlier version wrote none.
    """

    id: int
    time_ns: int
    event_type: str
    actor: str
    status: str
    details: str
    order: int = 0
    box_ns: int = 0


class AuditPage(msgspec.Struct, frozen=True, kw_only=True, tag="audit"):
    """Audit entries, oldest first; whether there may be older and newer ones that match."""

    entries: tuple[AuditEntry, ...]
    older: bool
    newer: bool


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order in short; `price` NaN without a fill."""

    id: int
    time_ns: int
    order: int
    magic: int
    book: str
    symbol: str
    action: str
    direction: str
    lots: float
    state: str
    price: float
    detail: str


class Orders(msgspec.Struct, frozen=True, kw_only=True, tag="orders"):
    """Orders, oldest first; whether there may be older and newer ones."""

    entries: tuple[OrderView, ...]
    older: bool
    newer: bool


class OrderDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An order and what it was decided on; of a close, the order that opened the position.

    `steps` are a size's steps in words; `result` what became of the position, "" while open.
    """

    time_ns: int
    magic: int
    order: int
    deal: int
    close_order: int
    close_deal: int
    book: str
    symbol: str
    action: str
    direction: str
    lots: float
    state: str
    retcode: int
    detail: str
    price: float
    stop: float
    target: float
    refusal: str
    rules: tuple[RuleView, ...]
    votes: tuple[VoteView, ...]
    steps: tuple[tuple[str, str], ...]
    signals: tuple[SignalView, ...]
    result: str
    parts: dict[str, float]
    code: str


class RecordDetail(msgspec.Struct, frozen=True, kw_only=True, tag="record"):
    """An audit entry, an order, or both."""

    audit: AuditEntry | None = None
    order: OrderDetail | None = None


class BacktestView(msgspec.Struct, frozen=True, kw_only=True):
    """A stored backtest in short. Fractions; NaN for unknown. `name` is what its user calls it."""

    id: int
    created_ns: int
    from_ns: int
    to_ns: int
    total_return_frac: float
    sharpe_ratio: float
    max_drawdown_frac: float
    win_rate_frac: float
    n_trades: int
    symbols: tuple[str, ...] = ()
    portfolio: str = ""
    name: str = ""


class Backtests(msgspec.Struct, frozen=True, kw_only=True, tag="backtests"):
    """Stored backtests; the portfolio files and the symbols a new one can be made of.

    `data`: the directory of bars that are used, "" where none is configured.
    """

    stored: tuple[BacktestView, ...]
    portfolios: tuple[str, ...]
    symbols: tuple[str, ...]
    data: str
    database: str = "ok"


class TestedStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy made in a backtest: its parts of its book's trades, net of costs."""

    strategy: str
    book: str
    trades_count: int
    net_profit_ccy: float


class TestedMonth(msgspec.Struct, frozen=True, kw_only=True):
    """A month of a backtest: equity's return, and the trades closed in it, net of costs."""

    month: str
    return_frac: float
    trades_count: int
    net_profit_ccy: float


class TestedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade of a backtest, net of costs; `strategy` is who agreed on it, joined by +."""

    book: str
    strategy: str
    symbol: str
    direction: str
    lots: float
    entry_time: int
    entry_price: float
    exit_time: int
    exit_price: float
    exit_reason: str
    profit_ccy: float


class Backtest(msgspec.Struct, frozen=True, kw_only=True, tag="backtest"):
    """A stored backtest. `made_of`: hashes of code, portfolio, data and result.

    `equity`: (time_ns, equity_ccy), at most a few hundred points; `trades` are the last ones, at
    most a thousand. What an earlier version stored without is ().
    """

    view: BacktestView
    summary: dict[str, Any]
    books: dict[str, float]
    made_of: dict[str, str]
    equity: tuple[tuple[int, float], ...] = ()
    strategies: tuple[TestedStrategy, ...] = ()
    months: tuple[TestedMonth, ...] = ()
    trades: tuple[TestedTrade, ...] = ()


Detail = (
    Rules | Correlation | StrategyDetail | AuditPage | Orders | RecordDetail | Backtests | Backtest
)
