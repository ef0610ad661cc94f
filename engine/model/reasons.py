"""Codes for why a position was closed and why an entry was refused.

Numbers are stored; names are shown. Never renumber.
"""

import enum


class ExitReason(enum.IntEnum):
    """Why a position was closed."""

    NONE = 0
    SIGNAL = 1
    STOP = 2
    TARGET = 3
    KILL = 4
    FLATTEN = 5
    DRAWDOWN = 6
    STOP_OUT = 7
    END = 8
    EXTERNAL = 9
    OPERATOR = 10


class Refusal(enum.IntEnum):
    """The rule that refused an entry; ACCEPTED when none did."""

    ACCEPTED = 0
    STALE_PRICE = 1
    HALTED = 2
    DRAWDOWN_TIER = 3
    NO_STOP = 4
    STOP_TOO_CLOSE = 5
    VOLUME_BELOW_MIN = 6
    SYMBOL_EXPOSURE = 7
    GROSS_EXPOSURE = 8
    UNSETTLED = 9
    NO_CONVERSION = 10
    MARGIN = 11
    UNKNOWN_EQUITY = 12
    REDUCING = 13
    SYMBOL_KILLED = 14
    RESTRICTED = 15
    CLOSED_SESSION = 16
    BARRED = 17
    DAILY_LOSS = 18
    ACCOUNT_DRAWDOWN = 19
    SPREAD = 20
    COLLAR = 21
    NO_RECORD = 22
    ORDER_LOTS = 23
    ORDER_VALUE = 24
    DECLARED_LOTS = 25
    DECLARED_ORDERS = 26
    REPEATED = 27
    THROTTLE = 28
    SYMBOL_THROTTLE = 29
    BOOK_EXPOSURE = 30
    NET_EXPOSURE = 31
    CORRELATION = 32
    DIVERSIFICATION = 33
    VALUE_AT_RISK = 34


class TradingState(enum.IntEnum):
    """What the account may do: everything, only shrink, nothing but close."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2
