"""The engine's state as consoles see it: one immutable snapshot from core, ledger and events."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from engine.decision.account import mark_exposure, notional_ccy, open_profit_ccy
from engine.decision.money import CURRENCY_DIGITS, round_ccy
from engine.decision.state import Core
from engine.model.broker import BrokerPosition
from engine.model.reasons import Refusal
from engine.model.views.snapshot import PositionView, ResultView, RiskView, StrategyView
from engine.trading.limits import file_limits, limits_now
from engine.trading.trader import Trader
from engine.views.fates import Previews
from engine.views.gauges import correlation_max, tail, var_frac, volatility_frac

StrategyState = Literal["ON", "OFF", "KILLED", "WARMING", "QUARANTINED", "SPENT", "WAITING"]
SignalName = Literal["LONG", "FLAT", "SHORT"]

_SIGNALS: dict[int, SignalName] = {1: "LONG", 0: "FLAT", -1: "SHORT"}


class _Member(NamedTuple):
    """What the core knows of a member, as plain Python: reading NumPy's fields one by one is slow.

    Field names are the core's.
    """

    slot: int
    direction: int
    confidence: float
    share: float
    enabled: int
    benched: int
    killed: int
    quarantined: int
    warming: int
    waiting: int
    realised_ccy: float
    shadow_trades: int
    shadow_r: float


class _Slot(NamedTuple):
    """What a slot's members have in common; `weight_frac` is the account's a unit of share."""

    book: str
    symbol_killed: bool
    barred: bool
    spent: bool
    detail: str
    weight_frac: float


def strategy_views(trader: Trader, previews: Previews | None = None) -> tuple[StrategyView, ...]:
    """Return a row for every strategy, in the core's order."""
    on_kill = (previews or Previews()).of(trader.core, trader.compiled.slots)
    profits = trader.positions.open_profits_ccy()
    open_shares = trader.positions.ledger.open_share_ccy(profits)
    members = _members(trader.core)
    slots = _slots(trader, members)
    rows = []
    for strategy, member, kill in zip(trader.compiled.strategies, members, on_kill, strict=True):
        slot = slots[member.slot]
        tally = trader.positions.ledger.tallies.get(strategy.name)
        open_ccy = open_shares.get(strategy.name, 0.0)
        rows.append(
            StrategyView(
                id=trader.ids[strategy.name],
                name=strategy.name,
                kind=strategy.kind,
                symbol=strategy.symbol,
                timeframe=strategy.timeframe,
                book=slot.book,
                state=_state(member, slot),
                signal=_SIGNALS[member.direction],
                confidence=trader.confidences.get(strategy.name, member.confidence),
                weight_frac=member.share * slot.weight_frac if member.enabled else 0.0,
                pnl_today_ccy=(tally.today_ccy if tally else 0.0) + open_ccy,
                trades_today=tally.today_trades if tally else 0,
                score=tally.score() if tally else math.nan,
                detail=_detail(trader, strategy.name, member, slot),
                realised_ccy=member.realised_ccy,
                open_ccy=open_ccy,
                shadow_trades=member.shadow_trades,
                shadow_r=member.shadow_r,
                shadow_mean_r=member.shadow_r / max(member.shadow_trades, 1),
                on_kill=kill,
            )
        )
    return tuple(rows)


def _members(core: Core) -> list[_Member]:
    slots = core.members["slot"].tolist()
    columns = (core.outputs[name].tolist() for name in _Member._fields[1:])
    return list(map(_Member, slots, *columns))


def _slots(trader: Trader, members: Sequence[_Member]) -> list[_Slot]:
    voting = [0.0] * len(trader.compiled.slots)
    for member in members:
        voting[member.slot] += member.share if member.enabled else 0.0
    positions = trader.core.positions
    killed = trader.core.quotes["killed"][trader.core.slots["symbol"]].tolist()
    shares = positions["allocation"].tolist()
    total = sum(shares) or 1.0
    rows = zip(
        trader.compiled.slots,
        killed,
        *(positions[name].tolist() for name in ("barred", "spent", "wish", "direction", "refusal")),
        shares,
        voting,
        strict=True,
    )
    out = []
    for which, is_killed, barred, spent, wish, direction, refusal, share, votes in rows:
        detail = ""
        if is_killed:
            detail = f"symbol {which.symbol} is killed: enable {which.symbol}"
        elif barred:
            detail = f"book barred by {Refusal(barred).name}: enable {which.book.name}"
        elif wish and (paused := trader.pauses.reason(which.symbol, wish)):
            detail = paused
        elif outdated := trader.pauses.reason_of(trader.names.members[m] for m in which.members):
            detail = outdated
        elif wish and direction == 0 and refusal > 0:
            detail = f"refused: {Refusal(refusal).name.lower()}"
        weight_frac = share / total / votes if votes else 0.0
        out.append(
            _Slot(which.book.name, bool(is_killed), bool(barred), bool(spent), detail, weight_frac)
        )
    return out


def _detail(trader: Trader, name: str, member: _Member, slot: _Slot) -> str:
    """Return why a strategy does not trade, "" where it does or its state says it."""
    if name in trader.quarantined:
        return trader.quarantined[name]
    if member.benched and not (slot.symbol_killed or slot.barred):
        return f"benched by its shadow record: enable {name}, or wait"
    return slot.detail


def _state(member: _Member, slot: _Slot) -> StrategyState:
    if member.killed or slot.symbol_killed:
        return "KILLED"
    if member.quarantined:
        return "QUARANTINED"
    if not member.enabled or member.benched or slot.barred:
        return "OFF"
    if member.warming:
        return "WARMING"
    if member.waiting:
        return "WAITING"
    return "SPENT" if slot.spent else "ON"


def position_views(trader: Trader) -> tuple[PositionView, ...]:
    """Return every open position, ours in slot order, then the others'."""
    rows = []
    for slot, which in enumerate(trader.compiled.slots):
        position = trader.core.positions[slot]
        if position["direction"] == 0:
            continue
        s = int(trader.core.slots[slot]["symbol"])
        quote = trader.core.quotes[s]
        rows.append(
            PositionView(
                ticket=int(position["ticket"]),
                owner=which.book.name,
                symbol=which.symbol,
                direction="BUY" if position["direction"] > 0 else "SELL",
                lots=float(position["lots"]),
                entry_price=float(position["entry_price"]),
                price=float(quote["bid"] if position["direction"] > 0 else quote["ask"]),
                stop=float(position["stop"]),
                target=float(position["target"]),
                profit_ccy=float(open_profit_ccy(trader.core, slot) + position["swap_ccy"]),
                opened_ns=int(position["entry_ns"]),
                digits=trader.compiled.symbols[s].digits,
                goal=trader.positions.goal(slot),
            )
        )
    return (*rows, *(_external(p) for p in trader.positions.external))


def _external(position: BrokerPosition) -> PositionView:
    return PositionView(
        ticket=position.ticket,
        owner="EXTERNAL",
        symbol=position.symbol,
        direction="BUY" if position.direction > 0 else "SELL",
        lots=position.lots,
        entry_price=position.entry_price,
        price=position.price,
        stop=position.stop or float("nan"),
        target=position.target or float("nan"),
        profit_ccy=position.profit_ccy + position.swap_ccy,
        opened_ns=position.opened_ns,
        digits=5,
    )


def book_views(trader: Trader) -> tuple[ResultView, ...]:
    """Return what each book has made, in file order."""
    return _results(trader, [slot.book.name for slot in trader.compiled.slots])


def symbol_views(trader: Trader) -> tuple[ResultView, ...]:
    """Return what each traded symbol has made, and how much of it is held."""
    mark_exposure(trader.core)
    equity_ccy = float(trader.core.account[0]["equity_ccy"])
    net_ccy = trader.core.work["net_ccy"]
    return tuple(
        msgspec.structs.replace(
            row,
            exposure_frac=float(net_ccy[trader.symbol_index[row.name]]) / equity_ccy
            if equity_ccy > 0.0
            else 0.0,
        )
        for row in _results(trader, [slot.symbol for slot in trader.compiled.slots])
    )


def _results(trader: Trader, names: list[str]) -> tuple[ResultView, ...]:
    """Add the slots up by name; sums of whole cents are whole cents."""
    profits = trader.positions.open_profits_ccy()
    sums: dict[str, list[float]] = {name: [0, 0.0, 0.0] for name in names}
    counts = trader.core.positions["n_trades"].tolist()
    realised_ccy = trader.core.positions["realised_ccy"].tolist()
    for n, made_ccy, name, slot in zip(
        counts, realised_ccy, names, trader.names.slots, strict=True
    ):
        row = sums[name]
        row[0] += n
        row[1] += made_ccy
        row[2] += profits.get(slot, 0.0)
    return tuple(
        ResultView(
            name=name,
            n_trades=int(n),
            realised_ccy=float(round_ccy(realised, CURRENCY_DIGITS)),
            open_ccy=open_ccy,
        )
        for name, (n, realised, open_ccy) in sums.items()
    )


def gross_exposure_ccy(core: Core) -> float:
    """Return all notional at the last quotes, long and short added."""
    mark_exposure(core)
    return float(core.work[-1]["gross_ccy"])


def _largest_book_ccy(trader: Trader) -> float:
    """Return the notional of the book that holds most, long and short added."""
    core = trader.core
    books: dict[int, float] = defaultdict(float)
    for slot in np.flatnonzero(core.positions["direction"]).tolist():
        config, lots = core.slots[slot], float(core.positions[slot]["lots"])
        books[int(config["book"])] += notional_ccy(core, config["symbol"], lots)
    return max(books.values(), default=0.0)


def risk_view(trader: Trader) -> RiskView:
    """Return the gauges against their limits."""
    account = trader.core.account[0]
    limits = trader.core.limits[0]
    equity = float(account["equity_ccy"])
    gross = gross_exposure_ccy(trader.core)
    largest_symbol = float(trader.core.work["gross_ccy"][:-1].max(initial=0.0))
    margin = gross / float(limits["leverage"])
    day_start = float(account["day_start_equity_ccy"])
    of_file = file_limits(trader.compiled.portfolio)
    return RiskView(
        balance_ccy=float(account["balance_ccy"]),
        equity_ccy=equity,
        high_water_ccy=float(account["high_water_ccy"]),
        drawdown_frac=float(account["drawdown_frac"]),
        drawdown_limits_frac=(
            float(limits["drawdown_reduce_frac"]),
            float(limits["drawdown_stop_entries_frac"]),
            float(limits["drawdown_flatten_frac"]),
        ),
        tier=int(account["tier"]),
        pnl_today_ccy=equity - day_start,
        gross_exposure_frac=gross / equity if equity > 0 else 0.0,
        gross_exposure_max_frac=float(limits["gross_exposure_max_frac"]),
        margin_frac=margin / equity if equity > 0 else 0.0,
        margin_level_frac=equity / margin if margin > 0 else float("inf"),
        daily_loss_frac=max(1.0 - equity / day_start, 0.0) if day_start > 0 else 0.0,
        account_drawdown_frac=float(account["account_drawdown_frac"]),
        external_ccy=float(account["external_ccy"]),
        net_exposure_frac=float(trader.core.work[-1]["net_ccy"]) / equity if equity > 0 else 0.0,
        symbol_exposure_frac=largest_symbol / equity if equity > 0 else 0.0,
        book_exposure_frac=_largest_book_ccy(trader) / equity if equity > 0 else 0.0,
        var_frac=var_frac(trader.core) if equity > 0 else float("nan"),
        volatility_frac=volatility_frac(trader.core),
        correlation_max=correlation_max(trader.core),
        **tail(trader.core)._asdict(),
        limits=limits_now(trader.core, of_file),
        limits_of_file=of_file,
    )
