"""Codes for why a position was closed and why an entry was refused.

Numbers are stored; names are shown. Never renumber.
"""

import enum
from typing import Self


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


class RuleGroup(enum.Enum):
    """When a rule is asked: before a size is known, of the size, of the order."""

    STATE = "state"
    SIZE = "size"
    ORDER = "order"


class Refusal(enum.IntEnum):
    """The rule that refused an entry; ACCEPTED when none did.

    The table of all rules: each one's number and group, in the order in which they are asked. What
    a rule says is its function in `engine.decision.rules`; the rules of the size are a part of
    `engine.decision.entries.decide_entry`.
    """

    group: RuleGroup | None

    def __new__(cls, number: int, group: RuleGroup | None = None) -> Self:
        member = int.__new__(cls, number)
        member._value_, member.group = number, group
        return member

    ACCEPTED = 0

    HALTED = 2, RuleGroup.STATE
    REDUCING = 13, RuleGroup.STATE
    DRAWDOWN_TIER = 3, RuleGroup.STATE
    UNKNOWN_EQUITY = 12, RuleGroup.STATE
    ACCOUNT_DRAWDOWN = 19, RuleGroup.STATE
    DAILY_LOSS = 18, RuleGroup.STATE
    UNSETTLED = 9, RuleGroup.STATE
    SYMBOL_KILLED = 14, RuleGroup.STATE
    RESTRICTED = 15, RuleGroup.STATE
    CLOSED_SESSION = 16, RuleGroup.STATE
    BARRED = 17, RuleGroup.STATE
    STALE_PRICE = 1, RuleGroup.STATE
    NO_CONVERSION = 10, RuleGroup.STATE
    SPREAD = 20, RuleGroup.STATE
    COLLAR = 21, RuleGroup.STATE

    NO_STOP = 4, RuleGroup.SIZE
    STOP_TOO_CLOSE = 5, RuleGroup.SIZE
    NO_RECORD = 22, RuleGroup.SIZE
    VOLUME_BELOW_MIN = 6, RuleGroup.SIZE

    ORDER_LOTS = 23, RuleGroup.ORDER
    ORDER_VALUE = 24, RuleGroup.ORDER
    DECLARED_LOTS = 25, RuleGroup.ORDER
    DECLARED_ORDERS = 26, RuleGroup.ORDER
    REPEATED = 27, RuleGroup.ORDER
    THROTTLE = 28, RuleGroup.ORDER
    SYMBOL_THROTTLE = 29, RuleGroup.ORDER
    BOOK_EXPOSURE = 30, RuleGroup.ORDER
    SYMBOL_EXPOSURE = 7, RuleGroup.ORDER
    GROSS_EXPOSURE = 8, RuleGroup.ORDER
    NET_EXPOSURE = 31, RuleGroup.ORDER
    MARGIN = 11, RuleGroup.ORDER
    CORRELATION = 32, RuleGroup.ORDER
    DIVERSIFICATION = 33, RuleGroup.ORDER
    VALUE_AT_RISK = 34, RuleGroup.ORDER


class TradingState(enum.IntEnum):
    """What the account may do: everything, only shrink, nothing but close."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2
