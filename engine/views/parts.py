"""The engine's state as consoles see it: one immutable snapshot from core, ledger and events."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from engine.decision import read
from engine.decision.account import mark_exposure, notional_ccy, open_profit_ccy
from engine.decision.money import CURRENCY_DIGITS, round_ccy
from engine.decision.read import MemberReading
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
    members = read.members(trader.core.outputs)
    owners = read.slots_of_members(trader.core)
    slots = _slots(trader, members, owners)
    rows = []
    for strategy, member, owner, kill in zip(
        trader.compiled.strategies, members, owners, on_kill, strict=True
    ):
        slot = slots[owner]
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


def _slots(trader: Trader, members: Sequence[MemberReading], owners: Sequence[int]) -> list[_Slot]:
    core = trader.core
    voting = [0.0] * len(trader.compiled.slots)
    for member, owner in zip(members, owners, strict=True):
        voting[owner] += member.share if member.enabled else 0.0
    positions = read.positions(core)
    killed = [read.quote(core, s).killed for s in range(len(core.symbols))]
    total = sum(position.allocation for position in positions) or 1.0
    out = []
    for index, which in enumerate(trader.compiled.slots):
        at, votes = positions[index], voting[index]
        is_killed = bool(killed[trader.symbol_index[which.symbol]])
        detail = ""
        if is_killed:
            detail = f"symbol {which.symbol} is killed: enable {which.symbol}"
        elif at.barred:
            detail = f"book barred by {Refusal(at.barred).name}: enable {which.book.name}"
        elif at.wish and (paused := trader.pauses.reason(which.symbol, at.wish)):
            detail = paused
        elif outdated := trader.pauses.reason_of(trader.names.members[m] for m in which.members):
            detail = outdated
        elif at.wish and at.direction == 0 and at.refusal > 0:
            detail = f"refused: {Refusal(at.refusal).name.lower()}"
        weight_frac = at.allocation / total / votes if votes else 0.0
        out.append(
            _Slot(which.book.name, is_killed, bool(at.barred), bool(at.spent), detail, weight_frac)
        )
    return out


def _detail(trader: Trader, name: str, member: MemberReading, slot: _Slot) -> str:
    """Return why a strategy does not trade, "" where it does or its state says it."""
    if name in trader.quarantined:
        return trader.quarantined[name]
    if member.benched and not (slot.symbol_killed or slot.barred):
        return f"benched by its shadow record: enable {name}, or wait"
    return slot.detail


def _state(member: MemberReading, slot: _Slot) -> StrategyState:
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
    for slot in read.held_slots(trader.core):
        which, position = trader.compiled.slots[slot], read.position(trader.core, slot)
        s = read.symbol_of(trader.core, slot)
        quote = read.quote(trader.core, s)
        rows.append(
            PositionView(
                ticket=position.ticket,
                owner=which.book.name,
                symbol=which.symbol,
                direction="BUY" if position.direction > 0 else "SELL",
                lots=position.lots,
                entry_price=position.entry_price,
                price=quote.bid if position.direction > 0 else quote.ask,
                stop=position.stop,
                target=position.target,
                profit_ccy=open_profit_ccy(trader.core, slot) + position.swap_ccy,
                opened_ns=position.entry_ns,
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
    equity_ccy = read.account(trader.core).equity_ccy
    net_ccy = read.net_ccy(trader.core)
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
    results = read.results(trader.core)
    for (n_trades, made_ccy), name, slot in zip(results, names, trader.names.slots, strict=True):
        row = sums[name]
        row[0] += n_trades
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
    return read.total_gross_ccy(core)


def _largest_book_ccy(trader: Trader) -> float:
    """Return the notional of the book that holds most, long and short added."""
    core = trader.core
    books: dict[int, float] = defaultdict(float)
    for slot in read.held_slots(core):
        lots = read.position(core, slot).lots
        books[read.book_of(core, slot)] += notional_ccy(core, read.symbol_of(core, slot), lots)
    return max(books.values(), default=0.0)


def risk_view(trader: Trader) -> RiskView:
    """Return the gauges against their limits."""
    account = read.account(trader.core)
    limits = read.limits(trader.core)
    equity = account.equity_ccy
    gross = gross_exposure_ccy(trader.core)
    largest_symbol = float(read.gross_ccy(trader.core).max(initial=0.0))
    margin = gross / limits.leverage
    day_start = account.day_start_equity_ccy
    of_file = file_limits(trader.compiled.portfolio)
    return RiskView(
        balance_ccy=account.balance_ccy,
        equity_ccy=equity,
        high_water_ccy=account.high_water_ccy,
        drawdown_frac=account.drawdown_frac,
        drawdown_limits_frac=(
            limits.drawdown_reduce_frac,
            limits.drawdown_stop_entries_frac,
            limits.drawdown_flatten_frac,
        ),
        tier=account.tier,
        pnl_today_ccy=equity - day_start,
        gross_exposure_frac=gross / equity if equity > 0 else 0.0,
        gross_exposure_max_frac=limits.gross_exposure_max_frac,
        margin_frac=margin / equity if equity > 0 else 0.0,
        margin_level_frac=equity / margin if margin > 0 else float("inf"),
        daily_loss_frac=max(1.0 - equity / day_start, 0.0) if day_start > 0 else 0.0,
        account_drawdown_frac=account.account_drawdown_frac,
        external_ccy=account.external_ccy,
        net_exposure_frac=read.total_net_ccy(trader.core) / equity if equity > 0 else 0.0,
        symbol_exposure_frac=largest_symbol / equity if equity > 0 else 0.0,
        book_exposure_frac=_largest_book_ccy(trader) / equity if equity > 0 else 0.0,
        var_frac=var_frac(trader.core) if equity > 0 else float("nan"),
        volatility_frac=volatility_frac(trader.core),
        correlation_max=correlation_max(trader.core),
        **tail(trader.core)._asdict(),
        limits=limits_now(trader.core, of_file),
        limits_of_file=of_file,
    )
