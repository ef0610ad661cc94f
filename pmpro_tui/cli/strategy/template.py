"""What `pmpro strategy new` writes."""

from string import Template

# Names that the file imports; a class of that name would hide them.
_TAKEN = ("Annotated", "Columns", "Meta", "Params", "Signals", "Strategy")

_STRATEGY = Template('''"""$title: with a move that wastes few steps.

Efficiency is the change over the last `period` bars over the sum of their steps: 1 where every
bar rose, -1 where every bar fell, near 0 where price went nowhere.
LONG above `enter`, SHORT below -`enter`, FLAT within `leave` of 0, HOLD (what it was) between.
Fails in ranges that swing for about `period` bars: it buys their tops.

Source: Perry J. Kaufman (1995), "Smarter Trading", for the efficiency ratio.

A strategy is a pure function of closed bars: the value at bar i uses bars up to i, no state, no
clock, no file, no chance. `pmpro strategy check $kind` looks for what breaks that.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.model.signals import FLAT, HOLD, LONG, SHORT
from strategies.base import BARS, Columns, Params, Signals, Strategy
from strategies.indicators import sma
from strategies.talib import MOM


# Each parameter has a type, a range, a unit and a description. `stop_points` and `target_points`
# are there for every kind.
class ${cls}Params(Params, frozen=True, kw_only=True):
    """How long a move, how clean, and when it is over."""

    period: Annotated[int, Meta(ge=2, le=1000, description="bars of the move", extra=BARS)] = 30
    enter: Annotated[float, Meta(ge=0.01, le=1, description="efficiency to enter at")] = 0.4
    leave: Annotated[float, Meta(ge=0, le=1, description="efficiency to leave at")] = 0.05

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.leave >= self.enter:
            raise ValueError(f"leave = {self.leave} must be below enter = {self.enter}")


class $cls(Strategy):
    """See the module."""

    kind = "$kind"  # what portfolio files call it
    params_type = ${cls}Params

    @property
    def warmup(self) -> int:
        """Return how many bars come before the first one with a valid value."""
        return self.params.period

    def evaluate(self, bars: Columns, *others: Columns) -> Signals:
        """Return a direction and a confidence for each bar; stop and target are added."""
        period, close = self.params.period, bars.close
        # The first `warmup` values stay FLAT with confidence 0.
        direction = np.full(bars.n, FLAT, np.int8)
        confidence = np.zeros(bars.n)
        steps = np.abs(np.diff(close, prepend=close[:1]))
        # `sma` sums every window afresh; a running sum would depend on where the window began.
        way = period * sma(steps, period)[period:]
        # `strategies.talib` has what TA-Lib has that keeps to windows of bars.
        change = MOM(close, period)[period:]
        efficiency = np.divide(change, way, out=np.zeros(len(way)), where=way > 0)
        # Prices are decimals: just at a level is at it, whatever binary makes of the last digits.
        efficiency = np.round(efficiency, 9)

        said = direction[period:]  # a view: what is written here stands in `direction`
        said[:] = HOLD
        said[np.abs(efficiency) <= self.params.leave] = FLAT
        said[efficiency > self.params.enter] = LONG
        said[efficiency < -self.params.enter] = SHORT
        confidence[period:] = np.where(said == FLAT, 0.0, np.minimum(np.abs(efficiency), 1.0))
        return self.signals(direction, confidence)
''')

_TEST = Template('''"""`$kind` keeps its rules: run with `python test_$name.py`, or with pytest."""

from pathlib import Path

import numpy as np

from engine.model.signals import LONG, SHORT
from engine.model.times import NS_PER_MINUTE
from pmpro_tui.checking.run import check_file
from strategies.base import Columns
from strategies.loader import load_file
from strategies.registry import create

FILE = Path(__file__).absolute().with_name("$name.py")


def test_no_check_fails():
    """No lookahead, a sufficient warm-up, no chance, on four weeks of generated bars."""
    for report in check_file(FILE, kind="$kind"):
        assert report.failures == [], report.failures


def test_a_straight_move_is_followed():
    """A market that only rises is LONG, one that only falls SHORT, from the first valid bar."""
    load_file(FILE)
    strategy = create("$kind", {}, "EURUSD", "M1", 1e-5)
    for step, expected in ((1e-4, LONG), (-1e-4, SHORT)):
        signals = strategy.evaluate(straight(step, 2 * strategy.warmup + 10))
        said = set(signals.direction[strategy.warmup :])
        assert said == {expected}, said


def straight(step, n):
    """Return bars whose close moves by `step` a bar."""
    close = 1.1 + step * np.arange(n)
    time_ns = np.arange(n) * NS_PER_MINUTE
    unknown = np.full(n, np.nan)
    return Columns(time_ns, time_ns + NS_PER_MINUTE, close, close, close, close, unknown, unknown)


if __name__ == "__main__":
    for test in (test_no_check_fails, test_a_straight_move_is_followed):
        test()
        print(f"{test.__name__}: passed")
''')


def strategy_text(kind: str) -> str:
    """Return a commented strategy of a kind."""
    words = [word for word in kind.split("_") if word]
    cls = "".join(word[:1].upper() + word[1:] for word in words) or "Own"
    if cls in _TAKEN or cls[0].isdigit():
        cls = f"Own{cls}"
    return _STRATEGY.substitute(kind=kind, cls=cls, title=" ".join(words).capitalize() or "Own")


def test_text(name: str, kind: str) -> str:
    """Return the test of what `strategy_text` wrote into NAME.py."""
    return _TEST.substitute(name=name, kind=kind)
