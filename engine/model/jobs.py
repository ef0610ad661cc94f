"""Work that the engine has done by a child of its own: what is asked for, and how far it is."""

from typing import Annotated, Literal, NamedTuple

import msgspec

JobState = Literal["WAITING", "RUNNING", "DONE", "FAILED", "CANCELLED"]


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backtest changes of its portfolio; nothing by default.

    `symbols`: only strategies on these. The costs replace the portfolio's for every symbol; the
    spread counts where the bars have none.
    """

    symbols: tuple[str, ...] = ()
    commission_per_lot_ccy: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    spread_points: Annotated[float, msgspec.Meta(ge=0.0)] | None = None


class BacktestSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backtest to launch: a command's text, as JSON.

    `portfolio`: a file beside the running portfolio's, "" for the running one. Days are ISO dates
    or times, UTC; the period is [from_day, to_day). `source`: the bar files' where several would
    do, "" for any.
    """

    from_day: str
    to_day: str
    portfolio: str = ""
    source: str = ""
    variant: Variant = Variant()


class JobModules(NamedTuple):
    """The modules that run as the engine's children; "" where there is none.

    `backtest` runs a launched backtest, `parity` compares live with one. Whoever starts the engine
    names them: the engine knows nothing above it.
    """

    backtest: str = ""
    parity: str = ""


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One job. `eta_s`: NaN while unknown; `text`: the result in short, or why there is none.

    `result_id`: of what was stored, 0 for nothing. Times are the box's clock, 0 for not yet.
    """

    id: int
    state: JobState
    title: str
    by: str
    queued_ns: int
    started_ns: int = 0
    ended_ns: int = 0
    progress_frac: float = 0.0
    eta_s: float = float("nan")
    text: str = ""
    result_id: int = 0
