"""What to do about each answer of `order_send`: the table of MetaTrader's return codes as data.

A code that is not in the table, and a None result whose `last_error` does not say that nothing
was sent, is an unknown outcome: reconcile, and no new entries until it is settled.
"""

import enum
from typing import Final

import msgspec

from engine.model.broker import OrderResult


class Action(enum.StrEnum):
    """What the caller must do."""

    OK = "OK"
    """Done; compare volumes."""
    RETRY = "RETRY"
    """Refresh the price, check risk again, bounded attempts inside the intent's deadline."""
    WAIT = "WAIT"
    """Back off, then as RETRY."""
    FIX = "FIX"
    """Our bug or a wrong symbol rule: never send it unchanged again."""
    REJECT = "REJECT"
    """Drop the intent, record why."""
    RECONCILE = "RECONCILE"
    """Outcome unknown: ask the terminal's orders, deals and positions."""
    STOP = "STOP"
    """No entries in this symbol for now."""
    KILL = "KILL"
    """No entries at all; alert."""


class Verdict(msgspec.Struct, frozen=True):
    """A code's name, what to do, and what the operator should know.

    `filled`: a deal was made. `block_entries`: no new entries anywhere until it is settled.
    `n_sends`: how often one intent is sent in all, more than once only where the broker has
    certainly not taken it; `wait_s` before the second time, twice as long before the third.
    `pause_s`: no entries in the symbol for so long, in `pause_direction` alone unless it is 0.
    """

    name: str
    action: Action
    note: str = ""
    filled: bool = False
    block_entries: bool = False
    n_sends: int = 1
    wait_s: float = 0.0
    pause_s: float = 0.0
    pause_direction: int = 0


_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0


def _kill(name: str, note: str) -> Verdict:
    return Verdict(name, Action.KILL, note, block_entries=True)


PARTIAL: Final = 10010

RETCODES: Final[dict[int, Verdict]] = {
    10004: Verdict("REQUOTE", Action.RETRY, n_sends=3),
    10006: Verdict("REJECT", Action.REJECT),
    10007: Verdict("CANCEL", Action.REJECT),
    10008: Verdict("PLACED", Action.OK, "not filled yet: follow up"),
    10009: Verdict("DONE", Action.OK, "the deal's number may be 0", filled=True),
    10010: Verdict("DONE_PARTIAL", Action.OK, "for the result's lots only", filled=True),
    10011: Verdict("ERROR", Action.RECONCILE),
    10012: Verdict("TIMEOUT", Action.RECONCILE),
    10013: Verdict("INVALID", Action.FIX),
    10014: Verdict("INVALID_VOLUME", Action.FIX),
    10015: Verdict("INVALID_PRICE", Action.FIX, "one retry at a fresh price", n_sends=2),
    10016: Verdict("INVALID_STOPS", Action.FIX),
    10017: Verdict(
        "TRADE_DISABLED",
        Action.STOP,
        "KILL if the account may not trade",
        pause_s=15 * _MINUTE_S,
    ),
    10018: Verdict("MARKET_CLOSED", Action.STOP, "until the session opens", pause_s=5 * _MINUTE_S),
    10019: Verdict("NO_MONEY", Action.REJECT, "alert: margin"),
    10020: Verdict("PRICE_CHANGED", Action.RETRY, n_sends=3),
    10021: Verdict("PRICE_OFF", Action.WAIT, "no quotes", n_sends=3, wait_s=0.25),
    10022: Verdict("INVALID_EXPIRATION", Action.FIX),
    10023: Verdict("ORDER_CHANGED", Action.RECONCILE),
    10024: Verdict(
        "TOO_MANY_REQUESTS",
        Action.WAIT,
        "slow everything down",
        n_sends=3,
        wait_s=0.5,
        pause_s=_MINUTE_S,
    ),
    10025: Verdict("NO_CHANGES", Action.OK, "it was so already"),
    10026: _kill("SERVER_DISABLES_AT", "the server has disabled automated trading"),
    10027: _kill("CLIENT_DISABLES_AT", "algo trading is off in the terminal: switch it on"),
    10028: Verdict("LOCKED", Action.RECONCILE, "being worked on: wait, then look"),
    10029: Verdict("FROZEN", Action.WAIT, "then reject", n_sends=2, wait_s=0.5),
    10030: Verdict("INVALID_FILL", Action.FIX, "the next filling mode", n_sends=3),
    10031: Verdict("CONNECTION", Action.RECONCILE),
    10032: _kill("ONLY_REAL", "allowed on real accounts only"),
    10033: Verdict("LIMIT_ORDERS", Action.REJECT),
    10034: Verdict("LIMIT_VOLUME", Action.REJECT),
    10035: Verdict("INVALID_ORDER", Action.FIX),
    10036: Verdict("POSITION_CLOSED", Action.RECONCILE, "a close counts as done"),
    10038: Verdict("INVALID_CLOSE_VOLUME", Action.RECONCILE),
    10039: Verdict("CLOSE_ORDER_EXIST", Action.RECONCILE),
    10040: Verdict("LIMIT_POSITIONS", Action.REJECT),
    10041: Verdict("REJECT_CANCEL", Action.REJECT),
    10042: Verdict(
        "LONG_ONLY",
        Action.REJECT,
        "stop short entries in the symbol",
        pause_s=_HOUR_S,
        pause_direction=-1,
    ),
    10043: Verdict(
        "SHORT_ONLY",
        Action.REJECT,
        "stop long entries in the symbol",
        pause_s=_HOUR_S,
        pause_direction=1,
    ),
    10044: Verdict("CLOSE_ONLY", Action.REJECT, "stop entries in the symbol", pause_s=_HOUR_S),
    10045: Verdict("FIFO_CLOSE", Action.FIX, "close the oldest position first"),
    10046: Verdict("HEDGE_PROHIBITED", Action.REJECT),
}

UNKNOWN_RETCODE: Final = Verdict(
    "UNKNOWN", Action.RECONCILE, "not in the table", block_entries=True
)

# `order_send` returned None: what `last_error` says about it.
LAST_ERRORS: Final[dict[int, Verdict]] = {
    -2: Verdict("INVALID_PARAMS", Action.FIX, "never left this process"),
    -8: _kill("AUTO_TRADING_DISABLED", "the Python API is disabled in the terminal"),
    -10000: Verdict("INTERNAL_FAIL", Action.RECONCILE),
    -10001: Verdict("INTERNAL_FAIL_SEND", Action.RECONCILE),
    -10002: Verdict("INTERNAL_FAIL_RECEIVE", Action.RECONCILE),
    -10004: Verdict(
        "INTERNAL_FAIL_CONNECT", Action.WAIT, "not sent: reconnect", n_sends=3, wait_s=0.5
    ),
    -10005: Verdict("INTERNAL_FAIL_TIMEOUT", Action.RECONCILE),
}

UNKNOWN_ERROR: Final = Verdict("NO_RESULT", Action.RECONCILE, "not in the table", False, True)


def classify(result: OrderResult) -> Verdict:
    """Return what to do about an answer; retcode 0 is a None result with its `last_error`."""
    if result.retcode == 0:
        return LAST_ERRORS.get(result.error, UNKNOWN_ERROR)
    return RETCODES.get(result.retcode, UNKNOWN_RETCODE)
