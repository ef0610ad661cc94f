"""Session breakout: with a close beyond the range in which a session opened, until its end.

The opening range is highest high and lowest low of the bars that open in the first
`range_minutes` after 08:00 of the city's wall clock, daylight saving included. After it, LONG from
a close above the range, SHORT from one below, whichever was last; FLAT before, and from the bar
that closes `close_minutes` after the open. A day without a bar in the range has no trade.
Confidence is 0.5 in the range and grows with the distance beyond it.
Meant for M1 to M30: a longer bar seldom opens within the range.
Fails on days that break one side and turn, and on quiet days with a narrow range.

Source: Toby Crabel (1990), "Day Trading with Short Term Price Patterns and Opening Range Breakout".
"""

from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from engine.kernels.compiled import kernel
from engine.model.signals import FLAT, LONG, SHORT
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from strategies.base import Columns, Directions, Floats, Params, Signals, Strategy, Times
from strategies.indicators.sessions import opens_ns

MINUTES = {"unit": "minutes"}


class SessionBreakoutParams(Params, frozen=True, kw_only=True):
    """Which session, and the ends of its range and of its trade after the open."""

    session: Annotated[Literal["london", "new_york"], Meta(description="whose wall clock")] = (
        "london"
    )
    range_minutes: Annotated[
        int, Meta(ge=5, le=240, description="opening range", extra=MINUTES)
    ] = 30
    close_minutes: Annotated[
        int, Meta(ge=10, le=600, description="close after the open", extra=MINUTES)
    ] = 480

    def __post_init__(self) -> None:
        """Refuse a trade that ends before it can begin."""
        if self.close_minutes <= self.range_minutes:
            raise ValueError(
                f"close_minutes = {self.close_minutes} must be above range_minutes = "
                f"{self.range_minutes}"
            )


class SessionBreakout(Strategy):
    """See the module."""

    kind = "session_breakout"
    params_type = SessionBreakoutParams

    @property
    def warmup(self) -> int:
        """Return 1: a session lies within a UTC day, and a window begins at one's midnight."""
        return 1

    def evaluate(self, bars: Columns, *_: Columns) -> Signals:
        """Follow the breaks of every session's range."""
        p: SessionBreakoutParams = self.params
        times = bars.time_ns
        first, last = (int(t) // NS_PER_DAY for t in (times[0], times[-1])) if bars.n else (0, 0)
        ends = p.range_minutes * NS_PER_MINUTE, p.close_minutes * NS_PER_MINUTE
        opens = opens_ns(p.session, first, last)
        prices = bars.high, bars.low, bars.close
        return self.signals(*_follow(times, bars.close_ns, *prices, opens, *ends, self.warmup))


@kernel
def _follow(
    time_ns: Times,
    close_ns: Times,
    high: Floats,
    low: Floats,
    close: Floats,
    opens_ns: Times,
    range_ns: int,
    end_ns: int,
    warmup: int,
) -> tuple[Directions, Floats]:
    """Say what a session's break is; `opens_ns` are those of all days from the first bar's on."""
    n = len(close)
    direction = np.zeros(n, np.int8)  # FLAT
    confidence = np.zeros(n)
    next_day_ns = open_ns = 0
    top, bottom = -np.inf, np.inf
    side = FLAT
    for i in range(n):
        if time_ns[i] >= next_day_ns:
            day = time_ns[i] // NS_PER_DAY
            next_day_ns = (day + 1) * NS_PER_DAY
            open_ns = opens_ns[day - time_ns[0] // NS_PER_DAY]
            top, bottom = -np.inf, np.inf
            side = FLAT
        if time_ns[i] < open_ns or close_ns[i] >= open_ns + end_ns:
            continue
        if time_ns[i] < open_ns + range_ns:
            top, bottom = max(top, high[i]), min(bottom, low[i])
            continue
        if top < bottom:
            continue
        beyond = max(close[i] - top, bottom - close[i], 0.0)
        if beyond > 0.0:
            side = LONG if close[i] > top else SHORT
        if side != FLAT and i >= warmup:
            direction[i] = side
            confidence[i] = 0.5 + 0.5 * beyond / (beyond + top - bottom)
    return direction, confidence
