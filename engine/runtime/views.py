"""The engine's state as consoles see it: one immutable snapshot from core, ledger and events."""

from typing import Any, Literal

from engine.decision.account import mark_exposure, open_profit_ccy
from engine.decision.state import Core
from engine.model.broker import BrokerPosition
from engine.model.reasons import Refusal
from engine.model.snapshot import PositionView, ResultView, RiskView, StrategyView
from engine.runtime.gauges import correlation_max, tail, var_frac, volatility_frac
from engine.runtime.limits import file_limits, limits_now
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
                state=_state(trader.core, output, slot, symbol_killed=_killed(trader, slot)),
                signal=_SIGNALS[int(output["direction"])],
                confidence=trader.confidences.get(strategy.name, float(output["confidence"])),
                weight_frac=_weight(trader, index, slot, total),
                pnl_today_ccy=today_ccy + open_shares.get(strategy.name, 0.0),
                trades_today=tally.today_trades if tally else 0,
                score=tally.score() if tally else 0.0,
                detail=_detail(trader, index, slot),
                realised_ccy=float(output["realised_ccy"]),
                open_ccy=open_shares.get(strategy.name, 0.0),
                shadow_trades=int(output["shadow_trades"]),
                shadow_r=float(output["shadow_r"]),
                shadow_mean_r=float(output["shadow_r"]) / max(int(output["shadow_trades"]), 1),
            )
        )
    return tuple(rows)


def _killed(trader: Trader, slot: int) -> bool:
    return bool(trader.core.quotes[int(trader.core.slots[slot]["symbol"])]["killed"])


def _detail(trader: Trader, member: int, slot: int) -> str:
    """Return why a strategy does not trade, "" where it does or its state says it."""
    name = trader.compiled.strategies[member].name
    if name in trader.quarantined:
        return trader.quarantined[name]
    which = trader.compiled.slots[slot]
    if _killed(trader, slot):
        return f"symbol {which.symbol} is killed: enable {which.symbol}"
    if barred := int(trader.core.positions[slot]["barred"]):
        return f"book barred by {Refusal(barred).name}: enable {which.book.name}"
    wish = int(trader.core.positions[slot]["wish"])
    if wish and (paused := trader.pauses.reason(which.symbol, wish)):
        return paused
    if trader.core.outputs[member]["benched"]:
        return f"benched by its shadow record: enable {name}, or wait"
    return _refused(trader.core, slot)


def _state(core: Core, output: Any, slot: int, *, symbol_killed: bool) -> StrategyState:
    if output["killed"] or symbol_killed:
        return "KILLED"
    if output["quarantined"]:
        return "QUARANTINED"
    if not output["enabled"] or output["benched"] or core.positions[slot]["barred"]:
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


def book_views(trader: Trader) -> tuple[ResultView, ...]:
    """Return what each book has made, in file order."""
    return _results(trader, [slot.book.name for slot in trader.compiled.slots])


def symbol_views(trader: Trader) -> tuple[ResultView, ...]:
    """Return what each traded symbol has made."""
    return _results(trader, [slot.symbol for slot in trader.compiled.slots])


def _results(trader: Trader, names: list[str]) -> tuple[ResultView, ...]:
    """Add the slots up by name; sums of whole cents are whole cents."""
    profits = trader.positions.open_profits_ccy()
    sums: dict[str, list[float]] = {name: [0, 0.0, 0.0] for name in names}
    for slot, name in enumerate(names):
        position, row = trader.core.positions[slot], sums[name]
        row[0] += int(position["n_trades"])
        row[1] += float(position["realised_ccy"])
        row[2] += profits.get(trader.names.slots[slot], 0.0)
    return tuple(
        ResultView(name=name, n_trades=int(n), realised_ccy=round(realised, 2), open_ccy=open_ccy)
        for name, (n, realised, open_ccy) in sums.items()
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
        var_frac=var_frac(trader.core) if equity > 0 else float("nan"),
        volatility_frac=volatility_frac(trader.core),
        correlation_max=correlation_max(trader.core),
        **tail(trader.core)._asdict(),
        limits=limits_now(trader.core, of_file),
        limits_of_file=of_file,
    )
