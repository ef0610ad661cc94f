"""The module's result records: they behave like C struct sequences.

A tuple with read-only attributes, `_asdict()` and a repr such as `AccountInfo(login=1, …)`; no
`_fields`, no `_replace`, and pickling raises TypeError, as with the module itself.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NoReturn, Self

import numpy as np

RATES_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("tick_volume", "<u8"),
        ("spread", "<i4"),
        ("real_volume", "<u8"),
    ]
)

TICKS_DTYPE = np.dtype(
    [
        ("time", "<i8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("last", "<f8"),
        ("volume", "<u8"),
        ("time_msc", "<i8"),
        ("flags", "<u4"),
        ("volume_real", "<f8"),
    ]
)


class StructSequence(tuple[Any, ...]):
    """Base of the records; `__match_args__` holds the field names, as in C struct sequences."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __new__(cls, values: Iterable[Any]) -> Self:
        """Take every field's value, in order."""
        self = super().__new__(cls, values)
        if len(self) != len(cls.__match_args__):
            raise TypeError(
                f"{cls.__name__}() takes a {len(cls.__match_args__)}-sequence "
                f"({len(self)}-sequence given)"
            )
        return self

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self.__match_args__, self, strict=True))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({fields})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"cannot pickle '{type(self).__name__}' object")


FIELD_TYPES: dict[type[StructSequence], dict[str, type]] = {}
"""Every record's fields in order, with their types."""


def _struct(name: str, *runs: tuple[type, str]) -> type[StructSequence]:
    types = {field: kind for kind, names in runs for field in names.split()}
    members: dict[str, Any] = {
        field: property(itemgetter(index)) for index, field in enumerate(types)
    }
    counts = {"n_fields": len(types), "n_sequence_fields": len(types), "n_unnamed_fields": 0}
    own = {"__slots__": (), "__match_args__": tuple(types), **counts}
    made = type(name, (StructSequence,), {**own, **members})
    FIELD_TYPES[made] = types
    return made


Tick = _struct(
    "Tick",
    (int, "time"),
    (float, "bid ask last"),
    (int, "volume time_msc flags"),
    (float, "volume_real"),
)
TradeRequest = _struct(
    "TradeRequest",
    (int, "action magic order"),
    (str, "symbol"),
    (float, "volume price stoplimit sl tp"),
    (int, "deviation type type_filling type_time expiration"),
    (str, "comment"),
    (int, "position position_by"),
)
OrderSendResult = _struct(
    "OrderSendResult",
    (int, "retcode deal order"),
    (float, "volume price bid ask"),
    (str, "comment"),
    (int, "request_id retcode_external"),
    (TradeRequest, "request"),
)
OrderCheckResult = _struct(
    "OrderCheckResult",
    (int, "retcode"),
    (float, "balance equity profit margin margin_free margin_level"),
    (str, "comment"),
    (TradeRequest, "request"),
)
TradePosition = _struct(
    "TradePosition",
    (int, "ticket time time_msc time_update time_update_msc type magic identifier reason"),
    (float, "volume price_open sl tp price_current swap profit"),
    (str, "symbol comment external_id"),
)
TradeOrder = _struct(
    "TradeOrder",
    (
        int,
        (
            "ticket time_setup time_setup_msc time_done time_done_msc time_expiration type "
            "type_time type_filling state magic position_id position_by_id reason"
        ),
    ),
    (float, "volume_initial volume_current price_open sl tp price_current price_stoplimit"),
    (str, "symbol comment external_id"),
)
TradeDeal = _struct(
    "TradeDeal",
    (int, "ticket order time time_msc type entry magic position_id reason"),
    (float, "volume price commission swap profit fee"),
    (str, "symbol comment external_id"),
)
BookInfo = _struct(
    "BookInfo",
    (int, "type"),
    (float, "price"),
    (int, "volume"),
    (float, "volume_dbl"),
)
AccountInfo = _struct(
    "AccountInfo",
    (int, "login trade_mode leverage limit_orders margin_so_mode"),
    (bool, "trade_allowed trade_expert"),
    (int, "margin_mode currency_digits"),
    (bool, "fifo_close"),
    (
        float,
        (
            "balance credit profit equity margin margin_free margin_level margin_so_call "
            "margin_so_so margin_initial margin_maintenance assets liabilities commission_blocked"
        ),
    ),
    (str, "name server currency company"),
)
TerminalInfo = _struct(
    "TerminalInfo",
    (
        bool,
        (
            "community_account community_connection connected dlls_allowed trade_allowed "
            "tradeapi_disabled email_enabled ftp_enabled notifications_enabled mqid"
        ),
    ),
    (int, "build maxbars codepage ping_last"),
    (float, "community_balance retransmission"),
    (str, "company name language path data_path commondata_path"),
)
SymbolInfo = _struct(
    "SymbolInfo",
    (bool, "custom"),
    (int, "chart_mode"),
    (bool, "select visible"),
    (
        int,
        (
            "session_deals session_buy_orders session_sell_orders volume volumehigh volumelow "
            "time digits spread"
        ),
    ),
    (bool, "spread_float"),
    (
        int,
        (
            "ticks_bookdepth trade_calc_mode trade_mode start_time expiration_time "
            "trade_stops_level trade_freeze_level trade_exemode swap_mode swap_rollover3days"
        ),
    ),
    (bool, "margin_hedged_use_leg"),
    (int, "expiration_mode filling_mode order_mode order_gtc_mode option_mode option_right"),
    (
        float,
        (
            "bid bidhigh bidlow ask askhigh asklow last lasthigh lastlow volume_real "
            "volumehigh_real volumelow_real option_strike point trade_tick_value "
            "trade_tick_value_profit trade_tick_value_loss trade_tick_size trade_contract_size "
            "trade_accrued_interest trade_face_value trade_liquidity_rate volume_min volume_max "
            "volume_step volume_limit swap_long swap_short margin_initial margin_maintenance "
            "session_volume session_turnover session_interest session_buy_orders_volume "
            "session_sell_orders_volume session_open session_close session_aw "
            "session_price_settlement session_price_limit_min session_price_limit_max "
            "margin_hedged price_change price_volatility price_theoretical price_greeks_delta "
            "price_greeks_theta price_greeks_gamma price_greeks_vega price_greeks_rho "
            "price_greeks_omega price_sensitivity"
        ),
    ),
    (
        str,
        (
            "basis category currency_base currency_profit currency_margin bank description "
            "exchange formula isin name page path"
        ),
    ),
)

ALL: dict[str, type[StructSequence]] = {made.__name__: made for made in FIELD_TYPES}


_ZEROS: dict[type[StructSequence], dict[str, Any]] = {
    made: {name: None if issubclass(kind, StructSequence) else kind() for name, kind in run.items()}
    for made, run in FIELD_TYPES.items()
}


def build(struct: type[StructSequence], **fields: Any) -> StructSequence:
    """Make a record from some of its fields; the others are 0, "" or False."""
    types, values = FIELD_TYPES[struct], _ZEROS[struct] | fields
    if len(values) != len(types):
        unknown = ", ".join(sorted(fields.keys() - types.keys()))
        raise TypeError(f"{struct.__name__} has no field {unknown}")
    return struct(
        [
            value if isinstance(value, kind) else kind(value)
            for kind, value in zip(types.values(), values.values(), strict=True)
        ]
    )
