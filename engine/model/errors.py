"""The one tree of errors raised on purpose, split by what the caller must do.

PmproError
├── UserError          the operator must change something: one line, exit code 2
│   ├── ConfigError    a settings or portfolio file (or PMPRO_ variable) is wrong
│   ├── DataError      market data is missing, malformed or contradictory
│   └── StrategyError  a strategy kind, file or parameter is wrong
├── Refused            a rule or a role said no: exit code 3
├── TryAgain           not now: the same command may work in a moment
├── StoreError         PostgreSQL is not usable: trading goes on, rows wait in the journal
│   └── SchemaMismatch its schema is another version's: no entries
├── StateError         the state directory is locked, damaged or belongs to another mode
│   └── JournalError   the journal cannot be written: no entry may be sent, a kill goes on
├── ControlError       the console's connection to the engine is lost or was never there
│   └── Unanswered     the engine is there and cannot tell what was asked
└── BrokerError        the terminal or its host
    ├── NotSent        the request certainly never reached the terminal
    └── OutcomeUnknown sent, unanswered: it may have been executed; reconcile first
"""

from typing import Literal

Failure = Literal["", "wrong", "refused", "failed"]
"""How a command ended, as it crosses the control socket: "" well."""


class PmproError(Exception):
    """Root of every error raised on purpose."""


class UserError(PmproError):
    """The operator must change something; the message says what, where and how."""


class ConfigError(UserError):
    """A settings file, portfolio file or environment variable is wrong."""


class DataError(UserError):
    """Market data is missing, malformed or contradictory."""


class StrategyError(UserError):
    """A strategy kind, file or parameter is wrong."""


class Refused(PmproError):
    """A risk rule or a role said no."""


class TryAgain(PmproError):
    """The engine cannot do it now; the same command may work in a moment."""


class StoreError(PmproError):
    """PostgreSQL is not usable; nothing is lost, rows wait in the journal."""


class SchemaMismatch(StoreError):
    """The database's schema is another version's and cannot be brought to this one's."""


class StateError(PmproError):
    """The state directory is locked, damaged or belongs to another mode."""


class JournalError(StateError):
    """The journal cannot be written; what was asked to be committed is not in it."""


class ControlError(PmproError):
    """The engine's control socket is absent, lost or speaks another version."""


class Unanswered(ControlError):
    """The engine is there and cannot tell what was asked; the message says why."""


class BrokerError(PmproError):
    """The terminal or its host failed."""


class NotSent(BrokerError):
    """The request certainly never reached the terminal; it may be tried again."""


class OutcomeUnknown(BrokerError):
    """Sent, unanswered: the order may be live; reconcile before resending."""


def failure_of(error: PmproError) -> Failure:
    """Return whose turn it is: "wrong" the operator's, "refused" nobody's, "failed" ours."""
    if isinstance(error, UserError):
        return "wrong"
    return "refused" if isinstance(error, Refused) else "failed"


def error_of(failure: Failure, text: str, otherwise: type[PmproError]) -> PmproError:
    """Return the error that a failure was before it crossed the socket."""
    kinds: dict[Failure, type[PmproError]] = {"wrong": UserError, "refused": Refused}
    return kinds.get(failure, otherwise)(text)
