"""The engine's state as consoles see it: one immutable snapshot from core, ledger and events."""

from typing import Any, Literal

from engine.decision.account import mark_exposure, open_profit_ccy
from engine.decision.state import Core
from engine.model.broker import BrokerPosition
from engine.model.reasons import Refusal
from engine.model.snapshot import PositionView, RiskView, StrategyView
from engine.runtime.trader import Trader

StrategyState = Literal["ON", "OFF", "KILLED", "WARMING", "QUARANTINED", "SPENT", "WAITING"]
SignalName = Literal["LONG", "FLAT", "SHORT"]

_SIGNALS: dict[int, SignalName] = {1: "LONG", 0: "FLAT", -1: "SHORT"}


def strategy_views(trader: Trader) -> tuple[StrategyView, ...]:
    """Return a row for every strategy, in the core's order."""
    profits = trader.positions.open_profits_ccy()
    open_shares = trader.positions.ledger.open_share_ccy(profits)
    total = _total_shares(trader)
    rows = []
    for index, strategy in enumerate(trader.compiled.strategies):
        output = trader.core.outputs[index]
        slot = int(trader.core.members[index]["slot"])
        tally = trader.positions.ledger.tallies.get(strategy.name)
        today_ccy = tally.today_ccy if tally else 0.0
        rows.append(
            StrategyView(
                id=trader.ids[strategy.name],
                name=strategy.name,
                kind=strategy.kind,
                symbol=strategy.symbol,
                timeframe=strategy.timeframe,
                book=trader.compiled.slots[slot].book.name,
                state=_state(trader.core, output, slot),
                signal=_SIGNALS[int(output["direction"])],
                confidence=trader.confidences.get(strategy.name, float(output["confidence"])),
                weight_frac=_weight(trader, index, slot, total),
                pnl_today_ccy=today_ccy + open_shares.get(strategy.name, 0.0),
                trades_today=tally.today_trades if tally else 0,
                score=tally.score() if tally else 0.0,
                detail=trader.quarantined.get(strategy.name, "") or _refused(trader.core, slot),
            )
        )
    return tuple(rows)


def _state(core: Core, output: Any, slot: int) -> StrategyState:
    if output["killed"]:
        return "KILLED"
    if output["quarantined"]:
        return "QUARANTINED"
    if not output["enabled"]:
        return "OFF"
    if output["warming"]:
        return "WARMING"
    if output["waiting"]:
        return "WAITING"
    return "SPENT" if core.positions[slot]["spent"] else "ON"


def _refused(core: Core, slot: int) -> str:
    """Return which rule keeps a slot out that wants in."""
    position = core.positions[slot]
    if position["direction"] != 0 or position["wish"] == 0 or position["refusal"] <= 0:
        return ""
    return f"refused: {Refusal(int(position['refusal'])).name.lower()}"


def _total_shares(trader: Trader) -> float:
    return float(sum(trader.core.positions["allocation"])) or 1.0


def _weight(trader: Trader, member: int, slot: int, total: float) -> float:
    """Return a member's share of the account: its share of the book × the book's allocation."""
    config = trader.core.slots[slot]
    members = range(config["first_member"], config["first_member"] + config["n_members"])
    voting = sum(
        float(trader.core.outputs[m]["share"]) for m in members if trader.core.outputs[m]["enabled"]
    )
    if not voting or not trader.core.outputs[member]["enabled"]:
        return 0.0
    share = float(trader.core.outputs[member]["share"]) / voting
    return share * float(trader.core.positions[slot]["allocation"]) / total


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


def gross_exposure_ccy(core: Core) -> float:
    """Return all notional at the last quotes, long and short added."""
    mark_exposure(core)
    return float(core.work[-1]["gross_ccy"])


def risk_view(trader: Trader) -> RiskView:
    """Return the gauges against their limits."""
    account = trader.core.account[0]
    limits = trader.core.limits[0]
    equity = float(account["equity_ccy"])
    gross = gross_exposure_ccy(trader.core)
    margin = gross / float(limits["leverage"])
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
        pnl_today_ccy=equity - float(account["day_start_equity_ccy"]),
        gross_exposure_frac=gross / equity if equity > 0 else 0.0,
        gross_exposure_max_frac=float(limits["gross_exposure_max_frac"]),
        margin_frac=margin / equity if equity > 0 else 0.0,
        margin_level_frac=equity / margin if margin > 0 else float("inf"),
    )
