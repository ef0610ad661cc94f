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


class TradingState(enum.IntEnum):
    """What the account may do: everything, only shrink, nothing but close."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2
