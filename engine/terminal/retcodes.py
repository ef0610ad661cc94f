"""What to do about each answer of `order_send`: the table of MetaTrader's return codes as data.

A code that is not in the table, and a None result whose `last_error` does not say that nothing
was sent, is an unknown outcome: reconcile, and no new entries until it is settled.
"""

import enum
from typing import Final

import msgspec

from engine.model.broker import OrderResult


class Action(enum.StrEnum):
    """What an answer means for the order that was sent."""

    TAKEN = "TAKEN"
    """The broker has taken it: its deals say what it did."""
    REFUSED = "REFUSED"
    """Certainly not taken, and not to be sent again as it was."""
    LATER = "LATER"
    """Certainly not taken now: the same order may be taken a little later."""
    UNKNOWN = "UNKNOWN"
    """Perhaps taken: never sent again; the terminal's orders, deals and positions settle it."""


class Verdict(msgspec.Struct, frozen=True):
    """A code's name, what to do, and what the operator should know.

    `filled`: a deal was made. `halts_entries`: no new entries in any symbol, until an operator
    resumes. `n_sends`: how often one intent is sent in all, more than once only where the broker
    has certainly not taken it; one that was REFUSED goes out with what was wrong made anew.
    `wait_s` before the second time, twice as long before the third. `pause_s`: no entries in the
    symbol for so long, in `pause_direction` alone unless it is 0.
    """

    name: str
    action: Action
    note: str = ""
    filled: bool = False
    halts_entries: bool = False
    n_sends: int = 1
    wait_s: float = 0.0
    pause_s: float = 0.0
    pause_direction: int = 0


_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0


def _halt(name: str, note: str) -> Verdict:
    return Verdict(name, Action.REFUSED, note, halts_entries=True)


PARTIAL: Final = 10010

RETCODES: Final[dict[int, Verdict]] = {
    10004: Verdict("REQUOTE", Action.LATER, n_sends=3),
    10006: Verdict("REJECT", Action.REFUSED),
    10007: Verdict("CANCEL", Action.REFUSED),
    10008: Verdict("PLACED", Action.TAKEN, "not filled yet: follow up"),
    10009: Verdict("DONE", Action.TAKEN, "the deal's number may be 0", filled=True),
    10010: Verdict("DONE_PARTIAL", Action.TAKEN, "for the result's lots only", filled=True),
    10011: Verdict("ERROR", Action.UNKNOWN),
    10012: Verdict("TIMEOUT", Action.UNKNOWN),
    10013: Verdict("INVALID", Action.REFUSED),
    10014: Verdict("INVALID_VOLUME", Action.REFUSED),
    10015: Verdict("INVALID_PRICE", Action.REFUSED, "one retry at a fresh price", n_sends=2),
    10016: Verdict("INVALID_STOPS", Action.REFUSED),
    10017: Verdict(
        "TRADE_DISABLED",
        Action.REFUSED,
        "halts all entries if the account may not trade",
        pause_s=15 * _MINUTE_S,
    ),
    10018: Verdict(
        "MARKET_CLOSED", Action.REFUSED, "until the session opens", pause_s=5 * _MINUTE_S
    ),
    10019: Verdict("NO_MONEY", Action.REFUSED, "alert: margin"),
    10020: Verdict("PRICE_CHANGED", Action.LATER, n_sends=3),
    10021: Verdict("PRICE_OFF", Action.LATER, "no quotes", n_sends=3, wait_s=0.25),
    10022: Verdict("INVALID_EXPIRATION", Action.REFUSED),
    10023: Verdict("ORDER_CHANGED", Action.UNKNOWN),
    10024: Verdict(
        "TOO_MANY_REQUESTS",
        Action.LATER,
        "slow everything down",
        n_sends=3,
        wait_s=0.5,
        pause_s=_MINUTE_S,
    ),
    10025: Verdict("NO_CHANGES", Action.TAKEN, "it was so already"),
    10026: _halt("SERVER_DISABLES_AT", "the server has disabled automated trading"),
    10027: _halt("CLIENT_DISABLES_AT", "algo trading is off in the terminal: switch it on"),
    10028: Verdict("LOCKED", Action.UNKNOWN, "being worked on: wait, then look"),
    10029: Verdict("FROZEN", Action.LATER, "then reject", n_sends=2, wait_s=0.5),
    10030: Verdict("INVALID_FILL", Action.REFUSED, "the next filling mode", n_sends=3),
    10031: Verdict("CONNECTION", Action.UNKNOWN),
    10032: _halt("ONLY_REAL", "allowed on real accounts only"),
    10033: Verdict("LIMIT_ORDERS", Action.REFUSED),
    10034: Verdict("LIMIT_VOLUME", Action.REFUSED),
    10035: Verdict("INVALID_ORDER", Action.REFUSED),
    10036: Verdict("POSITION_CLOSED", Action.UNKNOWN, "a close counts as done"),
    10038: Verdict("INVALID_CLOSE_VOLUME", Action.UNKNOWN),
    10039: Verdict("CLOSE_ORDER_EXIST", Action.UNKNOWN),
    10040: Verdict("LIMIT_POSITIONS", Action.REFUSED),
    10041: Verdict("REJECT_CANCEL", Action.REFUSED),
    10042: Verdict(
        "LONG_ONLY",
        Action.REFUSED,
        "the symbol takes long entries only",
        pause_s=_HOUR_S,
        pause_direction=-1,
    ),
    10043: Verdict(
        "SHORT_ONLY",
        Action.REFUSED,
        "the symbol takes short entries only",
        pause_s=_HOUR_S,
        pause_direction=1,
    ),
    10044: Verdict("CLOSE_ONLY", Action.REFUSED, "the symbol takes no entries", pause_s=_HOUR_S),
    10045: Verdict("FIFO_CLOSE", Action.REFUSED, "close the oldest position first"),
    10046: Verdict("HEDGE_PROHIBITED", Action.REFUSED),
}

UNKNOWN_RETCODE: Final = Verdict("UNKNOWN", Action.UNKNOWN, "not in the table", halts_entries=True)

# `order_send` returned None: what `last_error` says about it.
LAST_ERRORS: Final[dict[int, Verdict]] = {
    -2: Verdict("INVALID_PARAMS", Action.REFUSED, "never left this process"),
    -8: _halt("AUTO_TRADING_DISABLED", "the Python API is disabled in the terminal"),
    -10000: Verdict("INTERNAL_FAIL", Action.UNKNOWN),
    -10001: Verdict("INTERNAL_FAIL_SEND", Action.UNKNOWN),
    -10002: Verdict("INTERNAL_FAIL_RECEIVE", Action.UNKNOWN),
    -10004: Verdict(
        "INTERNAL_FAIL_CONNECT", Action.LATER, "not sent: reconnect", n_sends=3, wait_s=0.5
    ),
    -10005: Verdict("INTERNAL_FAIL_TIMEOUT", Action.UNKNOWN),
}

UNKNOWN_ERROR: Final = Verdict("NO_RESULT", Action.UNKNOWN, "not in the table", halts_entries=True)


def classify(result: OrderResult) -> Verdict:
    """Return what to do about an answer; retcode 0 is a None result with its `last_error`."""
    if result.retcode == 0:
        return LAST_ERRORS.get(result.error, UNKNOWN_ERROR)
    return RETCODES.get(result.retcode, UNKNOWN_RETCODE)
