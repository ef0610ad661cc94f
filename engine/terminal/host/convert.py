"""The MetaTrader module's structs to plain records: attributes in, UTC and account money out.

Depends on the structs' field names alone, so it serves the official and the simulated module.
Texts are the broker's own: they leave here printable and bounded.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.broker import (
    AccountState,
    BrokerDeal,
    BrokerOrder,
    BrokerPosition,
    OrderResult,
    Quote,
)
from engine.model.errors import BrokerError
from engine.model.printable import printable, printable_name
from engine.model.symbols import SymbolSpec
from engine.terminal.host.server_time import ServerTime
from engine.terminal.host.symbol_rules import SymbolFacts

_MARGIN_MODE_HEDGING: Final = 2
# Demo and contest; whatever else a broker says is real money.
_PLAY_MONEY: Final = (0, 1)
_STOP_OUT_PERCENT: Final = 0
_SWAP_DISABLED: Final = 0
_SWAP_POINTS: Final = 1
_ORDERS_DAILY: Final = 1
_DIRECTION_OF_DEAL: Final = {0: 1, 1: -1}


def _number(struct: Any, name: str) -> float:
    """Return a finite field of a struct; what is none would agree with every figure of ours.

    Where a sign may show the caller adds 0.0: terminals send −0.0 too, which has other bits.

    Raises:
        BrokerError: it is NaN, infinite or no number at all.
    """
    value = getattr(struct, name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise BrokerError(f"the terminal's {type(struct).__name__} has {name} = {value!r}")
    return float(value)


def account_state(info: Any) -> AccountState:
    """Convert an AccountInfo; trading needs the account and expert trading allowed."""
    return AccountState(
        login=int(info.login),
        server=_text(info.server),
        currency=_text(info.currency),
        currency_digits=int(info.currency_digits),
        leverage=int(info.leverage),
        hedging=info.margin_mode == _MARGIN_MODE_HEDGING,
        real_money=info.trade_mode not in _PLAY_MONEY,
        trade_allowed=bool(info.trade_allowed and info.trade_expert),
        balance_ccy=_number(info, "balance"),
        equity_ccy=_number(info, "equity"),
        profit_ccy=_number(info, "profit"),
        margin_ccy=_number(info, "margin"),
        margin_free_ccy=_number(info, "margin_free"),
        stop_out_frac=float(info.margin_so_so) / 100.0
        if info.margin_so_mode == _STOP_OUT_PERCENT
        else None,
    )


def quote(symbol: str, tick: Any, time: ServerTime, now_ns: int) -> Quote:
    """Convert a Tick."""
    time_ns = time.from_ms(tick.time_msc, now_ns)
    return Quote(symbol, time_ns, float(tick.bid), float(tick.ask))


def _text(value: Any) -> str:
    return printable_name(str(value))


def position(item: Any, time: ServerTime) -> BrokerPosition:
    """Convert a TradePosition."""
    return BrokerPosition(
        ticket=int(item.ticket),
        identifier=int(item.identifier),
        symbol=_text(item.symbol),
        magic=int(item.magic),
        direction=1 if item.type == 0 else -1,
        lots=_number(item, "volume"),
        entry_price=_number(item, "price_open"),
        price=_number(item, "price_current"),
        stop=_number(item, "sl"),
        target=_number(item, "tp"),
        profit_ccy=_number(item, "profit") + 0.0,
        swap_ccy=_number(item, "swap") + 0.0,
        opened_ns=time.from_ms(item.time_msc),
        comment=_text(item.comment),
    )


def order(item: Any, time: ServerTime) -> BrokerOrder:
    """Convert a TradeOrder."""
    return BrokerOrder(
        ticket=int(item.ticket),
        symbol=_text(item.symbol),
        magic=int(item.magic),
        type=int(item.type),
        state=int(item.state),
        lots_initial=_number(item, "volume_initial"),
        lots_current=_number(item, "volume_current"),
        position_id=int(item.position_id),
        setup_ns=time.from_ms(item.time_setup_msc),
        done_ns=time.from_ms(item.time_done_msc),
        comment=_text(item.comment),
    )


def deal(item: Any, time: ServerTime) -> BrokerDeal:
    """Convert a TradeDeal; the fee is part of the commission."""
    return BrokerDeal(
        ticket=int(item.ticket),
        order=int(item.order),
        position_id=int(item.position_id),
        symbol=_text(item.symbol),
        magic=int(item.magic),
        direction=_DIRECTION_OF_DEAL.get(item.type, 0),
        entry=int(item.entry),
        reason=int(item.reason),
        lots=_number(item, "volume"),
        price=_number(item, "price"),
        profit_ccy=_number(item, "profit") + 0.0,
        commission_ccy=_number(item, "commission") + _number(item, "fee") + 0.0,
        swap_ccy=_number(item, "swap") + 0.0,
        time_ns=time.from_ms(item.time_msc),
        comment=_text(item.comment),
        type=int(item.type),
    )


def order_result(result: Any, last_error: tuple[int, str]) -> OrderResult:
    """Convert an OrderSendResult or OrderCheckResult; None carries `last_error`."""
    if result is None:
        return OrderResult(
            retcode=0, error=int(last_error[0]), error_text=printable(str(last_error[1]))
        )
    return OrderResult(
        retcode=int(result.retcode),
        order=int(getattr(result, "order", 0)),
        deal=int(getattr(result, "deal", 0)),
        lots=float(getattr(result, "volume", 0.0)),
        price=float(getattr(result, "price", 0.0)),
        comment=_text(result.comment),
    )


def symbol_facts(info: Any) -> SymbolFacts:
    """Convert a SymbolInfo."""
    return SymbolFacts(
        name=_text(info.name),
        broker_name=info.name,
        digits=int(info.digits),
        point=float(info.point),
        tick_size=float(info.trade_tick_size),
        contract_size=float(info.trade_contract_size),
        base=_text(info.currency_base),
        profit_currency=_text(info.currency_profit),
        margin_currency=_text(info.currency_margin),
        volume_min_lots=float(info.volume_min),
        volume_max_lots=float(info.volume_max),
        volume_step_lots=float(info.volume_step),
        volume_limit_lots=float(info.volume_limit),
        spread_points=int(info.spread),
        stops_level_points=int(info.trade_stops_level),
        freeze_level_points=int(info.trade_freeze_level),
        filling_mode=int(info.filling_mode),
        execution_mode=int(info.trade_exemode),
        trade_mode=int(info.trade_mode),
        calc_mode=int(info.trade_calc_mode),
        swap_mode=int(info.swap_mode),
        swap_long=float(info.swap_long),
        swap_short=float(info.swap_short),
        swap_weekday=int(info.swap_rollover3days),
        stops_daily=int(info.order_gtc_mode) == _ORDERS_DAILY,
    )


def symbol_spec(facts: SymbolFacts, known: Mapping[str, SymbolSpec]) -> SymbolSpec:
    """Return the contract by the terminal's facts.

    What the module does not tell comes from `known`: commission (NaN when unknown there too), the
    usual spread (else the present one), and swaps that are not in points (else 0).
    """
    base = known.get(facts.name)
    if facts.swap_mode in (_SWAP_DISABLED, _SWAP_POINTS) or base is None:
        charged = facts.swap_mode == _SWAP_POINTS
        swap_long, swap_short = (facts.swap_long, facts.swap_short) if charged else (0.0, 0.0)
    else:
        swap_long, swap_short = base.swap_long_points, base.swap_short_points
    return SymbolSpec(
        name=facts.name,
        digits=facts.digits,
        contract_size=facts.contract_size,
        base=facts.base,
        profit_currency=facts.profit_currency,
        volume_min_lots=facts.volume_min_lots,
        volume_max_lots=facts.volume_max_lots,
        volume_step_lots=facts.volume_step_lots,
        spread_points=base.spread_points if base else float(facts.spread_points),
        commission_per_lot_ccy=base.commission_per_lot_ccy if base else float("nan"),
        swap_long_points=swap_long,
        swap_short_points=swap_short,
        swap_triple_weekday=(facts.swap_weekday - 1) % 7,
        stops_level_points=float(facts.stops_level_points),
    )


def bars(rates: Any, digits: int, time: ServerTime, now_ns: int) -> Bars:
    """Convert a `copy_rates_*` array, (n,), oldest first; spread in price units.

    Points over 10^digits is the nearest double of the decimal price; points × point is not.
    """
    result = np.empty(len(rates), BAR_DTYPE)
    result["time_ns"] = time.bars_from_seconds(rates["time"], now_ns)
    for name in ("open", "high", "low", "close"):
        result[name] = rates[name]
    result["volume"] = rates["tick_volume"]
    result["spread"] = rates["spread"] / 10.0**digits
    known = result["time_ns"] > 0
    return result if known.all() else result[known]


def plain(value: Any) -> Any:
    """Return a struct of the module as dicts of plain values, nested ones too."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, bool | int | float | None):
        return value
    return printable(str(value))
