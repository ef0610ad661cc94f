"""A small program for every function, as a user of the official module writes one.

Each prints what it found; beside it stands a pattern of what a sane terminal makes it print.
"""

START = """
import MetaTrader5 as mt5

if not mt5.initialize():
    print("no terminal:", mt5.last_error())
    quit()
"""

END = """
mt5.shutdown()
"""

_BODIES: dict[str, tuple[str, str]] = {
    "initialize": ("print('ready', mt5.last_error())", r"ready \(1, 'Success'\)"),
    "login": (
        """
ok = mt5.login(5061234, password="secret", server="Anywhere-Demo")
print(ok, mt5.account_info().login, mt5.account_info().server)
""",
        r"True 5061234 Anywhere-Demo",
    ),
    "shutdown": ("print(mt5.shutdown(), mt5.symbols_total())", r"True None"),
    "version": (
        "major, build, released = mt5.version()\nprint(major >= 500, build > 0, released)",
        r"True True \d+ \w{3} \d{4}",
    ),
    "last_error": (
        "mt5.symbol_info('NOPE')\ncode, text = mt5.last_error()\nprint(code, text)",
        r"-4 Terminal: Not found",
    ),
    "terminal_info": (
        "for key, value in mt5.terminal_info()._asdict().items():\n    print(key, '=', value)",
        r"connected = True\n(.*\n)*trade_allowed = True\n(.*\n)*maxbars = [1-9]\d+",
    ),
    "account_info": (
        """
import pandas as pd

info = mt5.account_info()
table = pd.DataFrame(list(info._asdict().items()), columns=["what", "is"])
print(len(table), info.balance, info.equity, info.currency)
""",
        r"28 100000.0 100000.0 USD",
    ),
    "symbols_total": ("print('symbols', mt5.symbols_total())", r"symbols [1-9]\d*"),
    "symbols_get": (
        """
print(len(mt5.symbols_get()) == mt5.symbols_total())
print(sorted(s.name for s in mt5.symbols_get(group="*EUR*,!*JPY*")))
""",
        r"True\n\['EURUSD'\]",
    ),
    "symbol_info": (
        "e = mt5.symbol_info('EURUSD')\nprint(e.digits, e.point, e.ask - e.bid > 0, e.spread > 0)",
        r"5 1e-05 True True",
    ),
    "symbol_info_tick": (
        "tick = mt5.symbol_info_tick('EURUSD')\nprint(tick.bid < tick.ask, tick.time > 1e9)",
        r"True True",
    ),
    "symbol_select": (
        """
print(mt5.symbol_select("USDJPY", False), mt5.symbol_info("USDJPY").visible)
print(mt5.symbol_select("USDJPY", True), mt5.symbol_info("USDJPY").visible)
""",
        r"True False\nTrue True",
    ),
    "market_book_add": ("print(mt5.market_book_add('EURUSD'))", r"True"),
    "market_book_get": (
        """
mt5.market_book_add("EURUSD")
for row in mt5.market_book_get("EURUSD"):
    print(row.type, row.price > 0, row.volume_dbl)
""",
        r"1 True 50.0\n2 True 50.0",
    ),
    "market_book_release": (
        "mt5.market_book_add('EURUSD')\nprint(mt5.market_book_release('EURUSD'))",
        r"True",
    ),
    "copy_rates_from": (
        """
from datetime import datetime, timezone
import pandas as pd

until = datetime(2026, 1, 9, tzinfo=timezone.utc)
rates = mt5.copy_rates_from("EURUSD", mt5.TIMEFRAME_H4, until, 10)
frame = pd.DataFrame(rates)
frame["time"] = pd.to_datetime(frame["time"], unit="s")
print(len(frame), frame["time"].iloc[-1], (frame["high"] >= frame["low"]).all())
""",
        r"10 2026-01-09 00:00:00 True",
    ),
    "copy_rates_from_pos": (
        """
rates = mt5.copy_rates_from_pos("EURUSD", mt5.TIMEFRAME_M15, 0, 100)
print(len(rates), rates.dtype.names[0], set(rates["time"][1:] - rates["time"][:-1]) >= {900})
""",
        r"100 time True",
    ),
    "copy_rates_range": (
        """
from datetime import datetime, timezone

rates = mt5.copy_rates_range(
    "USDJPY",
    mt5.TIMEFRAME_M5,
    datetime(2026, 1, 8, 10, tzinfo=timezone.utc),
    datetime(2026, 1, 8, 11, tzinfo=timezone.utc),
)
print(len(rates))
""",
        r"13",
    ),
    "copy_ticks_from": (
        """
from datetime import datetime, timezone

since = datetime(2026, 1, 8, tzinfo=timezone.utc)
ticks = mt5.copy_ticks_from("EURUSD", since, 1000, mt5.COPY_TICKS_ALL)
print(len(ticks), (ticks["ask"] > ticks["bid"]).all())
print((ticks["time_msc"] // 1000 == ticks["time"]).all())
""",
        r"1000 True\nTrue",
    ),
    "copy_ticks_range": (
        """
from datetime import datetime, timedelta, timezone

start = datetime(2026, 1, 8, tzinfo=timezone.utc)
ticks = mt5.copy_ticks_range("EURUSD", start, start + timedelta(minutes=5), mt5.COPY_TICKS_INFO)
print(len(ticks) >= 10)
print(len(mt5.copy_ticks_range("EURUSD", start, start + timedelta(days=1), mt5.COPY_TICKS_TRADE)))
""",
        r"True\n0",
    ),
    "orders_total": ("print('working', mt5.orders_total())", r"working 0"),
    "orders_get": (
        """
bid = mt5.symbol_info_tick("EURUSD").bid
request = {
    "action": mt5.TRADE_ACTION_PENDING,
    "symbol": "EURUSD",
    "volume": 0.2,
    "type": mt5.ORDER_TYPE_BUY_LIMIT,
    "price": round(bid - 0.01, 5),
    "sl": round(bid - 0.02, 5),
    "type_time": mt5.ORDER_TIME_DAY,
    "type_filling": mt5.ORDER_FILLING_RETURN,
}
ticket = mt5.order_send(request).order
order, = mt5.orders_get(group="*EUR*")
print(order.ticket == ticket, order.volume_current, order.state == mt5.ORDER_STATE_PLACED)
""",
        r"True 0.2 True",
    ),
    "order_calc_margin": (
        """
for symbol in ("EURUSD", "USDJPY"):
    ask = mt5.symbol_info_tick(symbol).ask
    print(symbol, mt5.order_calc_margin(mt5.ORDER_TYPE_BUY, symbol, 0.1, ask))
""",
        r"EURUSD 1\d\d\.\d+\nUSDJPY 100\.0",
    ),
    "order_calc_profit": (
        """
point, ask = mt5.symbol_info("EURUSD").point, mt5.symbol_info_tick("EURUSD").ask
print(mt5.order_calc_profit(mt5.ORDER_TYPE_BUY, "EURUSD", 1.0, ask, ask + 300 * point))
print(mt5.order_calc_profit(mt5.ORDER_TYPE_SELL, "EURUSD", 1.0, ask, ask + 300 * point))
""",
        r"300\.0\n-300\.0",
    ),
    "order_check": (
        """
price = mt5.symbol_info_tick("EURUSD").ask
request = {
    "action": mt5.TRADE_ACTION_DEAL,
    "symbol": "EURUSD",
    "volume": 1.0,
    "type": mt5.ORDER_TYPE_BUY,
    "price": price,
    "deviation": 10,
    "type_filling": mt5.ORDER_FILLING_IOC,
}
result = mt5.order_check(request)
print(result.retcode, result.comment, result.margin > 1000, result.request.symbol)
print(mt5.order_check({**request, "volume": 1}), mt5.last_error())
""",
        r"0 Done True EURUSD\nNone \(-2, 'Invalid \"volume\" argument'\)",
    ),
    "order_send": (
        """
symbol, lot, point = "USDJPY", 0.1, mt5.symbol_info("USDJPY").point
price = mt5.symbol_info_tick(symbol).ask
opened = mt5.order_send({
    "action": mt5.TRADE_ACTION_DEAL,
    "symbol": symbol,
    "volume": lot,
    "type": mt5.ORDER_TYPE_BUY,
    "price": price,
    "sl": round(price - 500 * point, 3),
    "tp": round(price + 500 * point, 3),
    "deviation": 20,
    "magic": 234000,
    "comment": "opened by a script",
    "type_time": mt5.ORDER_TIME_GTC,
    "type_filling": mt5.ORDER_FILLING_FOK,
})
closed = mt5.order_send({
    "action": mt5.TRADE_ACTION_DEAL,
    "symbol": symbol,
    "volume": lot,
    "type": mt5.ORDER_TYPE_SELL,
    "position": opened.order,
    "price": mt5.symbol_info_tick(symbol).bid,
    "magic": 234000,
})
for result in (opened, closed):
    print(result.retcode == mt5.TRADE_RETCODE_DONE, result._asdict()["request"]._asdict()["magic"])
print(mt5.positions_total())
""",
        r"True 234000\nTrue 234000\n0",
    ),
    "positions_total": ("mt5.Buy('EURUSD', 0.1)\nprint('open', mt5.positions_total())", r"open 1"),
    "positions_get": (
        """
import pandas as pd

mt5.Buy("EURUSD", 0.1)
mt5.Sell("USDJPY", 0.2)
print(len(mt5.positions_get(symbol="GBPUSD")), mt5.positions_get(symbol="EURUSD")[0].volume)
frame = pd.DataFrame([p._asdict() for p in mt5.positions_get(group="*USD*")])
print(sorted(frame["symbol"]), frame["volume"].sum().round(2))
""",
        r"0 0.1\n\['EURUSD', 'USDJPY'\] 0.3",
    ),
    "history_orders_total": (
        """
from datetime import datetime

mt5.Buy("EURUSD", 0.1)
print(mt5.history_orders_total(datetime(2020, 1, 1), datetime(2030, 1, 1)))
""",
        r"1",
    ),
    "history_orders_get": (
        """
from datetime import datetime

ticket = mt5.Buy("EURUSD", 0.1).order
orders = mt5.history_orders_get(datetime(2020, 1, 1), datetime(2030, 1, 1), group="*EUR*")
print(len(orders), mt5.history_orders_get(position=ticket) == orders)
""",
        r"1 True",
    ),
    "history_deals_total": (
        """
from datetime import datetime

mt5.Buy("EURUSD", 0.1)
print(mt5.history_deals_total(datetime(2020, 1, 1), datetime(2030, 1, 1)))
""",
        r"2",
    ),
    "history_deals_get": (
        """
from datetime import datetime

ticket = mt5.Buy("EURUSD", 0.1).order
print(mt5.Close("EURUSD"))
deals = mt5.history_deals_get(datetime(2020, 1, 1), datetime(2030, 1, 1), group="!*JPY*,*")
print([d.entry for d in mt5.history_deals_get(position=ticket)], len(deals) > 1)
""",
        r"True\n\[0, 1\] True",
    ),
}

SAMPLES = {name: (START + body + END, pattern) for name, (body, pattern) in _BODIES.items()}
