"""What one run does: a portfolio, a market, and what goes wrong when; all from one seed."""

import re
from typing import Literal

import msgspec
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

from engine.model.bars import Bars
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from tests.backtest.worlds import market
from tests.parity.portfolios import compiled_of, texts
from tests.parity.test_generated import FIRST_DAY_NS, drawn_times

Target = Literal["engine", "terminal", "strategies", "database"]
Point = Literal["call", "called", "sending", "commit", "committed", "evaluate"]

N_BATCHES = 80
LOGIN = 1_000_001
TARGETS: tuple[Target, ...] = ("engine", "engine", "terminal", "strategies", "database")
POINTS: tuple[Point, ...] = ("call", "called", "sending", "sending", "commit", "committed")
# Names as `engine.terminal.simulated.fault_text` reads them, each with the values drawn for it.
FAULTS: dict[str, tuple[str, ...]] = {
    "hang": ("",),
    "hang-after": ("",),
    "crash": ("",),
    "crash-after": ("",),
    "restart": ("",),
    "restart-after": ("",),
    "lost-request": ("",),
    "lost-reply": ("",),
    "lag": ("",),
    "late-deals": ("",),
    "placed-late": ("",),
    "placed-rejected": ("",),
    "duplicate-deals": ("",),
    "requote": ("", "*4"),
    "rejected": ("", "*2"),
    "price-off": ("", "*2"),
    "too-many-requests": ("", "*3"),
    "market-closed": ("", "*3"),
    "partial": ("=0.5", "=0.3*2"),
    "empty-history": ("", "*3"),
    "zero-tick": ("", "*3"),
}
_HIDING = ("lag", "late-deals", "placed-late")
# Calls that fail once beside the orders themselves.
READS = ("positions_get", "orders_get", "history_deals_get", "order_check", "account_info")
# Risk that lets nearly everything in, and sizes that need no record.
_LOOSE = """drawdown_reduce_frac = 0.3
drawdown_stop_entries_frac = 0.5
drawdown_flatten_frac = 0.9
daily_loss_max_frac = 0.9
account_drawdown_max_frac = 0.9
spread_max_factor = 1e6
collar_spreads = 1e6
var_max_frac = 1e6
repeated_max = 1e6
gross_exposure_max_frac = 50.0
net_exposure_max_frac = 50.0
symbol_exposure_max_frac = 50.0
book_exposure_max_frac = 50.0
correlated_exposure_max_frac = 50.0
diversify_above_frac = 50.0
orders_per_minute_max = 100.0
symbol_orders_per_minute_max = 100.0
"""
_SIZING = 'sizing = { method = "fixed_lots", lots = 0.29 }'
STATES = ("algo-off", "api-off", "investor", "disconnected", "other-account", "clock-off")


class Kill(msgspec.Struct, frozen=True, kw_only=True, tag="kill"):
    """End a process as `kill -9` does, the `nth` time the engine comes to `point`."""

    batch: int
    target: Target
    point: Point
    nth: int


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """A fault by its text; from then on nothing is hidden for longer than `lag_s`."""

    batch: int
    name: str
    text: str
    lag_s: float = 0.0


class State(msgspec.Struct, frozen=True, kw_only=True, tag="state"):
    """A state of the terminal that holds for some batches."""

    batch: int
    name: str
    n_batches: int


Action = Kill | Trouble | State


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Batches are minutes; `actions` in their order.

    `restarts`: who is killed during the first restart, the second …, if it comes to that moment.
    """

    seed: int
    portfolio: str
    market_seed: int
    from_ns: int
    keep_frac: float
    actions: list[Action]
    restarts: list[Kill] = []

    def bars(self) -> dict[str, Bars]:
        """Return each symbol's bars: some days before, thinned, and the time to trade."""
        rng = np.random.default_rng(self.market_seed)
        to_ns = self.from_ns + int(N_BATCHES / self.keep_frac) * NS_PER_MINUTE
        bars = {}
        for spec in compiled_of(self.portfolio).symbols:
            before = drawn_times(rng, self.from_ns - 3 * NS_PER_DAY, self.from_ns, 0.05)
            times = drawn_times(rng, self.from_ns, to_ns, self.keep_frac)
            bars[spec.name] = market(rng, spec.name, np.concatenate([before, times]))
        return bars


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do. `first`: the batch it begins or goes on at; `life`: which this is."""

    plan: Plan
    home: str
    database_url: str
    database_pid: int
    first: int
    life: int = 0
    broken: str = ""


def batches_of(plan: Plan, bars: dict[str, Bars]) -> list[int]:
    """Return the minutes at which a bar opens or closes, from the start on."""
    opens = np.concatenate([b["time_ns"][b["time_ns"] >= plan.from_ns] for b in bars.values()])
    return np.union1d(opens, opens + NS_PER_MINUTE).tolist()[:N_BATCHES]


def draw(number: int) -> Plan:
    """Return the plan of a seed."""
    rng = np.random.default_rng(number)
    # From a Wednesday to a Friday noon, over midnight now and then.
    start = FIRST_DAY_NS + int(rng.integers(0, 60)) * NS_PER_HOUR
    return Plan(
        seed=number,
        portfolio=_busy(rng, _portfolio(number)),
        market_seed=int(rng.integers(2**31)),
        from_ns=start,
        keep_frac=float(rng.choice([0.95, 0.6])),
        actions=sorted(
            [*_kills(rng), *_troubles(rng), *_states(rng)], key=lambda action: action.batch
        ),
        restarts=[
            Kill(batch=-1, target=target, point=point, nth=int(rng.integers(1, 9)))
            for target, point in (("engine", "called"), ("terminal", "call"), ("engine", "commit"))
            if rng.random() < 0.4
        ],
    )


def _portfolio(number: int) -> str:
    """Return what hypothesis draws second: its first is always the simplest."""
    found: list[str] = []

    @seed(number)
    @settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts())
    def take(text: str) -> None:
        found.append(text)

    take()
    return found[-1]


def _busy(rng: np.random.Generator, text: str) -> str:
    """Return a portfolio that trades more within an hour: mostly M1, changing its mind often."""
    text = re.sub(r"lasts = \d+", lambda _: f"lasts = {rng.choice([2, 3, 5, 9])}", text)
    text = re.sub(r"need = \d+", "need = 1", text)
    if rng.random() < 0.8:
        text = re.sub(r'timeframe = "\w+"', 'timeframe = "M1"', text)
    if rng.random() < 0.8:
        text = re.sub(r"\[risk\].*?\n(?=\[|\n)", f"[risk]\n{_LOOSE}", text, flags=re.DOTALL)
        text = re.sub(r"sizing = \{.*?\}", _SIZING, text)
    return text


def _batch(rng: np.random.Generator) -> int:
    return int(rng.integers(2, N_BATCHES - 10))


def _kills(rng: np.random.Generator) -> list[Action]:
    kills: list[Action] = []
    for _ in range(int(rng.integers(1, 4))):
        target = TARGETS[rng.integers(len(TARGETS))]
        point: Point = "evaluate" if target == "strategies" else POINTS[rng.integers(len(POINTS))]
        nth = int(rng.integers(1, 3 if point in ("sending", "evaluate") else 9))
        kills.append(Kill(batch=_batch(rng), target=target, point=point, nth=nth))
    return kills


def _troubles(rng: np.random.Generator) -> list[Action]:
    troubles: list[Action] = []
    names = list(FAULTS)
    for _ in range(int(rng.integers(4, 11))):
        name = names[rng.integers(len(names))]
        text = name + str(rng.choice(FAULTS[name])) + f"+{rng.choice([0, 0, 1])}"
        # Deals may come a few seconds after their positions before that is a difference.
        longest_s = 4.0 if name == "late-deals" else 20.0
        lag_s = float(rng.choice([0.1, 1.0, 2.0, longest_s])) if name in _HIDING else 0.0
        troubles.append(Trouble(batch=_batch(rng), name=name, text=text, lag_s=lag_s))
    for _ in range(int(rng.integers(0, 3))):
        call = READS[rng.integers(len(READS))]
        how = "lost-request" if rng.random() < 0.5 else f"failed*{rng.integers(1, 9)}"
        text = f"{how}@{call}+{rng.integers(0, 3)}"
        troubles.append(Trouble(batch=_batch(rng), name=f"failed {call}", text=text))
    return troubles


def _states(rng: np.random.Generator) -> list[Action]:
    if rng.random() < 0.5:
        return []
    name = STATES[rng.integers(len(STATES))]
    return [State(batch=_batch(rng), name=name, n_batches=int(rng.integers(1, 5)))]
