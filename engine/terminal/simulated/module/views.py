"""The broker's records as the module's structs."""

import math

from engine.decision.money import CURRENCY_DIGITS, round_ccy, round_price
from engine.terminal.simulated.broker.broker import Broker
from engine.terminal.simulated.broker.liquidity import Liquidity
from engine.terminal.simulated.broker.market import SimMarket
from engine.terminal.simulated.broker.state import Deal, SimOrder, SimPosition
from engine.terminal.simulated.config import SimulatedConfig
from engine.terminal.simulated.faults import Switches
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module import structs
from engine.terminal.simulated.module.structs import StructSequence, build
from engine.terminal.simulated.prices.rates import MAX_BARS, Rates

# Bits of `symbol_info.order_mode`: market, limit, stop, stop-limit, stop loss, take profit, and
# close-by.
_ORDER_MODE, _CLOSE_BY = 63, 64
# Of `symbol_info.expiration_mode`: until cancelled, day, time, day of a date.
_EXPIRATION_MODE = 15
_EXECUTION = {
    "market": c.SYMBOL_TRADE_EXECUTION_MARKET,
    "instant": c.SYMBOL_TRADE_EXECUTION_INSTANT,
    "request": c.SYMBOL_TRADE_EXECUTION_REQUEST,
    "exchange": c.SYMBOL_TRADE_EXECUTION_EXCHANGE,
}
_GTC = {
    "gtc": c.SYMBOL_ORDERS_GTC,
    "daily": c.SYMBOL_ORDERS_DAILY,
    "daily_no_stops": c.SYMBOL_ORDERS_DAILY_NO_STOPS,
}


def rounded(amount: float) -> float:
    """Round money to the account's digits."""
    return float(round_ccy(amount, CURRENCY_DIGITS))


def terminal_info(switches: Switches, build_number: int) -> StructSequence:
    """Return TerminalInfo."""
    return build(
        structs.TerminalInfo,
        connected=switches.connected,
        dlls_allowed=True,
        trade_allowed=switches.algo_trading,
        tradeapi_disabled=not switches.api_enabled,
        build=build_number,
        maxbars=MAX_BARS,
        ping_last=1000,
        company="Portfolio Manager Pro",
        name="Simulated Terminal",
        language="English",
    )


def account_info(config: SimulatedConfig, broker: Broker, switches: Switches) -> StructSequence:
    """Return AccountInfo at the current quotes."""
    account, figures = config.account, broker.money.figures()
    netting = c.ACCOUNT_MARGIN_MODE_RETAIL_NETTING
    if account.exchange:
        netting = c.ACCOUNT_MARGIN_MODE_EXCHANGE
    call, stop_out = config.margin_call_frac * 100.0, config.margin_so_frac * 100.0
    if config.margin_so_ccy is not None:
        call, stop_out = config.margin_call_ccy, config.margin_so_ccy
    return build(
        structs.AccountInfo,
        login=switches.other_login or account.login,
        trade_mode=c.ACCOUNT_TRADE_MODE_DEMO,
        leverage=account.leverage,
        limit_orders=account.limit_orders,
        margin_so_mode=c.ACCOUNT_STOPOUT_MODE_PERCENT
        if config.margin_so_ccy is None
        else c.ACCOUNT_STOPOUT_MODE_MONEY,
        trade_allowed=not (switches.investor or switches.other_login),
        trade_expert=True,
        margin_mode=c.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING if account.hedging else netting,
        currency_digits=CURRENCY_DIGITS,
        fifo_close=account.fifo,
        balance=figures.balance,
        profit=figures.profit,
        equity=figures.equity,
        margin=figures.margin,
        margin_free=figures.margin_free,
        margin_level=figures.margin_level,
        margin_so_call=call,
        margin_so_so=stop_out,
        name="Simulated",
        server=account.server,
        currency=account.currency,
        company="Portfolio Manager Pro",
    )


def _whole(points: float) -> int:
    """Return whole points; 0 where a price is none, as a bad bar makes it."""
    return round(points) if math.isfinite(points) else 0


def symbol_info(
    symbol: str, broker: Broker, switches: Switches, days: Rates, *, selected: bool
) -> StructSequence:
    """Return SymbolInfo; prices are 0.0 before the first quote. `days`: the last two daily bars."""
    market = broker.market
    spec, quote = market.specs[symbol], market.shown.get(symbol)
    tick_value = 0.0
    if quote and (conversion := market.conversion(symbol)) > 0.0:
        tick_value = spec.contract_size * spec.point * conversion
    forex = spec.contract_size == 100_000.0 and len(symbol) == 6
    return build(
        structs.SymbolInfo,
        select=selected,
        visible=selected,
        time=broker.server_msc(quote.time_ns) // 1000 if quote else 0,
        digits=spec.digits,
        spread=_whole((quote.ask - quote.bid) / spec.point) if quote else 0,
        spread_float=True,
        ticks_bookdepth=0 if broker.config.liquidity_lots is None else 1,
        trade_calc_mode=c.SYMBOL_CALC_MODE_FOREX if forex else c.SYMBOL_CALC_MODE_CFDLEVERAGE,
        trade_mode=switches.trade_modes.get(symbol, c.SYMBOL_TRADE_MODE_FULL),
        trade_stops_level=round(spec.stops_level_points),
        trade_freeze_level=round(broker.config.freeze_level_points),
        trade_exemode=_EXECUTION[broker.config.execution],
        swap_mode=c.SYMBOL_SWAP_MODE_POINTS,
        swap_rollover3days=(spec.swap_triple_weekday + 1) % 7,
        margin_hedged_use_leg=True,
        expiration_mode=_EXPIRATION_MODE,
        filling_mode=broker.config.filling_mode,
        order_gtc_mode=_GTC[broker.config.orders],
        order_mode=_ORDER_MODE | (_CLOSE_BY if broker.account.hedging else 0),
        bid=quote.bid if quote else 0.0,
        ask=quote.ask if quote else 0.0,
        point=spec.point,
        trade_tick_value=tick_value,
        trade_tick_value_profit=tick_value,
        trade_tick_value_loss=tick_value,
        trade_tick_size=spec.point,
        trade_contract_size=spec.contract_size,
        volume_min=spec.volume_min_lots,
        volume_max=spec.volume_max_lots,
        volume_step=spec.volume_step_lots,
        volume_limit=broker.config.volume_limit_lots,
        swap_long=spec.swap_long_points,
        swap_short=spec.swap_short_points,
        currency_base=spec.base,
        currency_profit=spec.profit_currency,
        currency_margin=spec.base,
        **_day(days, spec.digits),
        description=f"{spec.base} vs {spec.profit_currency}",
        name=symbol,
        path=f"Forex\\{symbol}" if forex else f"CFD\\{symbol}",
    )


def _day(days: Rates, digits: int) -> dict[str, float]:
    """Return what SymbolInfo tells of the day; its asks are bids and the day's least spread."""
    if not len(days):
        return {}
    today = days[-1]
    spread = int(today["spread"]) / 10.0**digits
    high, low = float(today["high"]), float(today["low"])
    figures = {
        "bidhigh": high,
        "bidlow": low,
        "askhigh": float(round_price(high + spread, digits)),
        "asklow": float(round_price(low + spread, digits)),
        "session_open": float(today["open"]),
    }
    if len(days) > 1:
        before = float(days[-2]["close"])
        change_percent = (float(today["close"]) / before - 1.0) * 100.0
        figures |= {"session_close": before, "price_change": round(change_percent, 4) + 0.0}
    return figures


def tick(symbol: str, broker: Broker) -> StructSequence:
    """Return the last Tick; all zero before the first."""
    quote = broker.market.shown.get(symbol)
    if quote is None:
        return build(structs.Tick)
    msc = broker.server_msc(quote.time_ns)
    return build(
        structs.Tick,
        time=msc // 1000,
        bid=quote.bid,
        ask=quote.ask,
        time_msc=msc,
        flags=c.TICK_FLAG_BID | c.TICK_FLAG_ASK,
    )


def book(symbol: str, market: SimMarket, liquidity: Liquidity) -> tuple[StructSequence, ...]:
    """Return BookInfo of what is left at the quote, offers first; none before the first tick."""
    quote = market.quotes.get(symbol)
    if quote is None:
        return ()
    sides = (
        (c.BOOK_TYPE_SELL, quote.ask, liquidity.left(symbol, 1)),
        (c.BOOK_TYPE_BUY, quote.bid, liquidity.left(symbol, -1)),
    )
    return tuple(
        build(structs.BookInfo, type=kind, price=price, volume=int(lots), volume_dbl=lots)
        for kind, price, lots in sides
        if lots > 0.0
    )


def position(item: SimPosition, broker: Broker) -> StructSequence:
    """Return TradePosition at the current quotes."""
    buy = item.direction > 0
    return build(
        structs.TradePosition,
        ticket=item.ticket,
        time=item.time_msc // 1000,
        time_msc=item.time_msc,
        time_update=item.time_update_msc // 1000,
        time_update_msc=item.time_update_msc,
        type=c.POSITION_TYPE_BUY if buy else c.POSITION_TYPE_SELL,
        magic=item.magic,
        identifier=item.identifier,
        reason=c.POSITION_REASON_EXPERT,
        volume=item.lots,
        price_open=item.price_open,
        sl=item.sl,
        tp=item.tp,
        price_current=broker.money.closing_price(item),
        swap=rounded(item.swap_ccy),
        profit=broker.money.open_profit(item),
        symbol=item.symbol,
        comment=item.comment,
    )


def order(item: SimOrder, broker: Broker) -> StructSequence:
    """Return TradeOrder; a working one at the current quotes."""
    current = item.price
    if item.is_working and (quote := broker.market.quotes.get(item.symbol)):
        current = quote.ask if item.direction > 0 else quote.bid
    done_msc = 0 if item.is_working else item.closed_msc
    return build(
        structs.TradeOrder,
        ticket=item.ticket,
        time_setup=item.time_msc // 1000,
        time_setup_msc=item.time_msc,
        time_done=done_msc // 1000,
        time_done_msc=done_msc,
        time_expiration=item.expiration_s,
        type=item.type,
        type_time=item.type_time,
        type_filling=item.type_filling,
        state=item.state,
        magic=item.magic,
        position_id=item.position_id,
        position_by_id=item.position_by,
        reason=item.reason,
        volume_initial=item.lots,
        volume_current=item.lots_left,
        price_open=item.price,
        sl=item.sl,
        tp=item.tp,
        price_current=current,
        price_stoplimit=item.price_stoplimit,
        symbol=item.symbol,
        comment=item.comment,
    )


def deal(item: Deal) -> StructSequence:
    """Return TradeDeal."""
    return build(
        structs.TradeDeal,
        ticket=item.ticket,
        order=item.order,
        time=item.time_msc // 1000,
        time_msc=item.time_msc,
        type=item.type,
        entry=item.entry,
        magic=item.magic,
        position_id=item.position_id,
        reason=item.reason,
        volume=item.volume,
        price=item.price,
        commission=item.commission,
        swap=item.swap,
        profit=item.profit,
        symbol=item.symbol,
        comment=item.comment,
    )
