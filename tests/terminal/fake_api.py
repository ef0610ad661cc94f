"""A scripted module with the functions the host calls: for what a simulated terminal never does.

Hanging with the GIL held, answering None, printing, losing its pipe. Times are UTC.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.model.broker import AccountState
from engine.model.times import NS_PER_MS, NS_PER_S

RATES_DTYPE = [
    ("time", "<i8"),
    ("open", "<f8"),
    ("high", "<f8"),
    ("low", "<f8"),
    ("close", "<f8"),
    ("tick_volume", "<u8"),
    ("spread", "<i4"),
    ("real_volume", "<u8"),
]
ACCOUNT = AccountState(
    login=7,
    server="Somewhere",
    currency="USD",
    currency_digits=2,
    leverage=100,
    hedging=True,
    real_money=False,
    trade_allowed=True,
    balance_ccy=1.0,
    equity_ccy=1.0,
    profit_ccy=0.0,
    margin_ccy=0.0,
    margin_free_ccy=1.0,
    stop_out_frac=0.5,
)
SYMBOL = {
    "digits": 5,
    "point": 1e-5,
    "trade_tick_size": 1e-5,
    "trade_contract_size": 100_000.0,
    "currency_base": "EUR",
    "currency_profit": "USD",
    "currency_margin": "EUR",
    "volume_min": 0.01,
    "volume_max": 50.0,
    "volume_step": 0.01,
    "volume_limit": 0.0,
    "spread": 8,
    "trade_stops_level": 0,
    "trade_freeze_level": 0,
    "filling_mode": 1,
    "trade_exemode": 2,
    "trade_mode": 4,
    "trade_calc_mode": 0,
    "swap_mode": 1,
    "swap_long": -6.1,
    "swap_short": 2.0,
    "swap_rollover3days": 3,
    "order_gtc_mode": 0,
}


class FakeApi:
    """`ticks`: (time_ns, bid) by symbol; `bars`: opens in ns; `down`: a last_error.

    `symbols`: what differs from SYMBOL, by symbol.
    """

    def __init__(self) -> None:
        self.now = 0
        self.ticks: dict[str, tuple[int, float]] = {}
        self.bars: dict[str, list[int]] = {}
        self.symbols: dict[str, dict[str, Any]] = {}
        self.down: tuple[int, str] | None = None
        self.error = (1, "Success")
        self.login_found = 7
        self.login_answer: bool | None = True
        self.trade_mode = 0
        self.calls: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.send_result: Any = None

    def now_ns(self) -> int:
        return self.now

    def _answer(self, name: str, value: Any) -> Any:
        self.calls.append(name)
        if self.down is not None:
            self.error = self.down
            return None
        self.error = (1, "Success") if value is not None else (-4, "Not found")
        return value

    def last_error(self) -> tuple[int, str]:
        return self.error

    def initialize(self, *_: Any) -> Any:
        return self._answer("initialize", True)

    def login(self, *_: Any, **__: Any) -> Any:
        return self._answer("login", self.login_answer)

    def account_info(self) -> Any:
        money = dict.fromkeys(("balance", "equity", "profit", "margin", "margin_free"), 1.0)
        info = SimpleNamespace(
            login=self.login_found,
            server="Fake",
            currency="USD",
            currency_digits=2,
            leverage=100,
            margin_mode=2,
            trade_mode=self.trade_mode,
            trade_allowed=True,
            trade_expert=True,
            margin_so_mode=0,
            margin_so_so=50.0,
            **money,
        )
        return self._answer("account_info", info)

    def terminal_info(self) -> Any:
        info = SimpleNamespace(connected=True, trade_allowed=True, tradeapi_disabled=False)
        return self._answer("terminal_info", info)

    def symbol_select(self, name: str, _: bool) -> Any:
        return self._answer("symbol_select", name in self.ticks)

    def symbol_info(self, name: str) -> Any:
        known = name in self.ticks
        return self._answer("symbol_info", self._symbol(name) if known else None)

    def symbols_get(self, *, group: str) -> Any:
        names = [name for name in self.ticks if group.strip("*") in name]
        return self._answer("symbols_get", tuple(map(self._symbol, names)))

    def _symbol(self, name: str) -> Any:
        return SimpleNamespace(**{"name": name, **SYMBOL, **self.symbols.get(name, {})})

    def symbol_info_tick(self, name: str) -> Any:
        time_ns, bid = self.ticks[name]
        tick = SimpleNamespace(time_msc=time_ns // NS_PER_MS, bid=bid, ask=bid + 8e-5)
        return self._answer("symbol_info_tick", tick)

    def copy_rates_from_pos(self, name: str, _: int, first: int, count: int) -> Any:
        assert first == 0
        opens = self.bars.get(name, [])[-count:]
        rows = [(o // NS_PER_S, 1.1, 1.2, 1.0, 1.1, 10, 8, 0) for o in opens]
        return self._answer("copy_rates_from_pos", np.array(rows, RATES_DTYPE))

    def positions_get(self, **_: Any) -> Any:
        return self._answer("positions_get", ())

    def orders_get(self, **_: Any) -> Any:
        return self._answer("orders_get", ())

    def order_check(self, request: dict[str, Any]) -> Any:
        return self._answer("order_check", SimpleNamespace(retcode=0, comment="Done"))

    def order_send(self, request: dict[str, Any]) -> Any:
        self.sent.append(request)
        return self._answer("order_send", self.send_result)
