"""Generated prices: every bar a pure function of (seed, symbol, minute).

So a restart, another process and another order of asking give the same history.
A slow mean-reverting level fixes each trading day's ends; inside the day a bridge of minute
steps connects them, its variance shaped by sessions, regimes and news bursts. Days run
17:00 to 17:00 New York, Monday to Friday; weekends have no bars. Chance is a counter hashed
with splitmix64 (Steele, Lea, Flood 2014), so any minute can be asked for without the ones before.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.server_clock import ServerClock
from engine.model.symbols import SymbolSpec
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE
from engine.terminal.simulated.prices.prices import Bar

Floats = npt.NDArray[np.float64]

_MINUTES = 1440
_FIRST_DAY = 10_959  # Monday 2000-01-03: before it there are no bars
_REVERSION = 0.985
_USD_SHARE = 0.6  # of a symbol's moves, how much is the dollar's

# Activity by hour of a New York + 7 clock: Tokyo opens at 2 or 3, London at 10, New York at 15.
_ACTIVITY = np.array(
    [
        *(0.5, 0.5, 0.7, 1.0, 0.9, 0.8, 0.7, 0.7, 0.8, 1.0, 1.4, 1.5),
        *(1.3, 1.1, 1.2, 1.7, 1.9, 1.8, 1.6, 1.2, 0.9, 0.8, 0.6, 0.4),
    ]
)
_REGIMES = np.array([0.6, 0.8, 1.0, 1.0, 1.3, 1.9])
_DECAY = 0.88 ** np.arange(60.0)


class Profile(NamedTuple):
    """A symbol's usual price and daily volatility (fraction)."""

    price: float
    daily_frac: float


# Round numbers near recent markets; only their size matters.
PROFILES = {
    "EURUSD": Profile(1.10, 0.005),
    "GBPUSD": Profile(1.28, 0.006),
    "AUDUSD": Profile(0.67, 0.0065),
    "NZDUSD": Profile(0.61, 0.0065),
    "USDCAD": Profile(1.36, 0.0045),
    "USDCHF": Profile(0.89, 0.005),
    "USDJPY": Profile(148.0, 0.006),
    "EURJPY": Profile(162.0, 0.006),
    "GBPJPY": Profile(189.0, 0.007),
    "EURGBP": Profile(0.86, 0.004),
    "XAUUSD": Profile(2300.0, 0.009),
    "XAGUSD": Profile(28.0, 0.017),
    "SPXUSD": Profile(5300.0, 0.009),
    "NSXUSD": Profile(18500.0, 0.012),
    "BTCUSD": Profile(65000.0, 0.03),
}


def hash_key(*parts: object) -> int:
    """Return a 64-bit key of a stream of chance."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def hashed(key: int, index: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return 64 well-mixed bits per index."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    z = np.uint64(key) + (index.astype(np.uint64) + np.uint64(1)) * golden
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits: npt.NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return bits


def uniforms(key: int, index: npt.NDArray[np.int64]) -> Floats:
    """Return one number in [0, 1) per index."""
    unit: Floats = (hashed(key, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return unit


def normals(key: int, index: npt.NDArray[np.int64]) -> Floats:
    """Return one nearly normal number per index: four 16-bit uniforms summed, |z| < 3.5."""
    lanes: Floats = hashed(key, index).view(np.uint16).reshape(-1, 4).astype(np.float64).sum(axis=1)
    unit: Floats = (lanes - 4 * 32767.5) * (math.sqrt(3.0) / 65536.0)
    return unit


class GeneratedSource:
    """Prices made from a seed: sessions, volatility regimes, news bursts, spreads that widen."""

    def __init__(self, seed: int, specs: Sequence[SymbolSpec]) -> None:
        self.seed = seed
        self._specs = {spec.name: spec for spec in specs}
        self._clock = ServerClock("new_york+7")
        self._levels: dict[str, list[float]] = {name: [0.0] for name in self._specs}
        self._block = lru_cache(maxsize=64 * max(1, len(specs)))(self._make_block)
        self._block_rows = lru_cache(maxsize=2 * max(1, len(specs)))(self._make_rows)
        self._day_start_ns = lru_cache(maxsize=4096)(
            lambda day: self._clock.to_utc_ns(day * NS_PER_DAY)
        )

    def bar_at(self, symbol: str, open_ns: int) -> Bar | None:
        """Return the bar that opens exactly at `open_ns`."""
        day = self._clock.day(open_ns)
        minute, rest_ns = divmod(open_ns - self._day_start_ns(day), NS_PER_MINUTE)
        if rest_ns or symbol not in self._specs or not _traded(day):
            return None
        return self._block_rows(symbol, day)[minute]

    def last_bar(self, symbol: str, before_ns: int) -> Bar | None:
        """Return the newest bar that opened before `before_ns`."""
        open_ns = (before_ns - 1) // NS_PER_MINUTE * NS_PER_MINUTE
        day = self._clock.day(open_ns)
        if day < _FIRST_DAY:
            return None
        if not _traded(day):
            day -= (day + 3) % 7 - 4  # the Friday before
            open_ns = self._day_start_ns(day) + (_MINUTES - 1) * NS_PER_MINUTE
        return self.bar_at(symbol, open_ns)

    def next_open_ns(self, symbol: str, at_ns: int) -> int | None:
        """Return the open of the first bar at or after `at_ns`."""
        if symbol not in self._specs:
            return None
        open_ns = -(-at_ns // NS_PER_MINUTE) * NS_PER_MINUTE
        day = max(self._clock.day(open_ns), _FIRST_DAY)
        if _traded(day):
            return max(open_ns, self._day_start_ns(day))
        return self._day_start_ns(day + 7 - (day + 3) % 7)

    def bars(self, symbol: str, from_ns: int, to_ns: int) -> Bars:
        """Return the bars that open in [from_ns, to_ns), spreads filled."""
        if symbol not in self._specs or to_ns <= from_ns:
            return np.empty(0, BAR_DTYPE)
        days = range(self._clock.day(from_ns), self._clock.day(to_ns - 1) + 1)
        blocks = [self._block(symbol, day) for day in days if _traded(day)]
        if not blocks:
            return np.empty(0, BAR_DTYPE)
        # Joined column-blind: concatenating structured arrays copies field by field.
        whole = np.concatenate([block.view(np.uint8) for block in blocks]).view(BAR_DTYPE)
        times = np.ascontiguousarray(whole["time_ns"])
        return whole[times.searchsorted(from_ns) : times.searchsorted(to_ns)]

    def recorded_ticks(self, symbol: str, open_ns: int) -> None:
        """Return None: every bar makes its ticks."""

    def _key(self, *parts: object) -> int:
        return hash_key(self.seed, *parts)

    def _level(self, symbol: str, n_days: int) -> float:
        """Return the level (fraction off the usual price) at the start of a trading day."""
        levels = self._levels[symbol]
        if n_days >= len(levels):
            index = np.arange(len(levels) - 1, n_days + 256)
            shocks = normals(self._key(symbol, "level"), index)
            steps = shocks * _profile(self._specs[symbol]).daily_frac * self._regime(index // 5)
            for step in steps.tolist():
                levels.append(min(max(levels[-1] * _REVERSION + step, -0.5), 1.0))
        return levels[n_days]

    def _regime(self, week: npt.NDArray[np.int64]) -> Floats:
        """Return the volatility regime of each week."""
        chosen = hashed(self._key("regime"), week) % np.uint64(len(_REGIMES))
        regimes: Floats = _REGIMES[chosen.astype(np.int64)]
        return regimes

    def _volatility(self, symbol: str, day: int) -> tuple[Floats, Floats]:
        """Return each minute's step size (fraction) and its news burst (1 is none)."""
        minute = np.arange(_MINUTES)
        slots = day * 6 + minute // 240
        calm = 0.7 + 0.8 * uniforms(self._key(symbol, "slot"), slots)
        regime = self._regime(np.array([_trading_day(day) // 5]))[0]
        burst = np.ones(_MINUTES + 60)
        hours = day * 24 + np.arange(24)
        for hour in np.flatnonzero(uniforms(self._key("news"), hours) < 0.06):
            size = 2.0 + 4.0 * uniforms(self._key("size"), hours[hour : hour + 1])[0]
            start = int(hour) * 60 + 30 * (int(hour) % 2)
            burst[start : start + 60] += size * _DECAY
        burst = burst[:_MINUTES]
        base = _profile(self._specs[symbol]).daily_frac / np.sqrt(_MINUTES)
        return base * _ACTIVITY[minute // 60] * calm * regime * burst, burst

    def _make_block(self, symbol: str, day: int) -> Bars:
        """Return the 1440 bars of a trading day."""
        spec = self._specs[symbol]
        minute = day * _MINUTES + np.arange(_MINUTES)
        step, burst = self._volatility(symbol, day)
        own = normals(self._key(symbol, "step"), minute)
        usd = normals(self._key("usd", "step"), minute) * _usd_sign(spec)
        noise = _USD_SHARE * usd + np.sqrt(1 - _USD_SHARE**2) * own if usd.any() else own
        trend = 0.12 * normals(self._key(symbol, "trend"), minute // 90)
        walk = np.cumsum(step * (noise + trend))
        k = _trading_day(day)
        start, end = self._level(symbol, k), self._level(symbol, k + 1)
        done = np.cumsum(step * step)
        path = start + walk + (end - start - walk[-1]) * done / done[-1]

        scale = 10.0**spec.digits
        price = _profile(spec).price
        bars = np.empty(_MINUTES, BAR_DTYPE)
        bars["time_ns"] = self._day_start_ns(day) + np.arange(_MINUTES) * NS_PER_MINUTE
        close = np.rint(price * (1.0 + path) * scale)
        opens = np.concatenate(([np.rint(price * (1.0 + start) * scale)], close[:-1]))
        opens += (hashed(self._key(symbol, "open"), minute) % np.uint64(3)).astype(np.int64) - 1
        reach = step * price * scale
        high = np.maximum(opens, close) + _reach(self._key(symbol, "high"), minute, reach)
        low = np.minimum(opens, close) - _reach(self._key(symbol, "low"), minute, reach)
        low = np.maximum(low, 1.0)
        for name, points in (("open", opens), ("high", high), ("low", low), ("close", close)):
            bars[name] = points / scale
        busy = np.minimum(step / step.mean(), 2.0) / 2.0
        draw = uniforms(self._key(symbol, "volume"), minute)
        bars["volume"] = 20 + np.floor(40 * (0.5 * draw + 0.5 * busy))
        bars["spread"] = self._spread_points(symbol, minute, burst) / scale
        bars.flags.writeable = False
        return bars

    def _spread_points(
        self, symbol: str, minute: npt.NDArray[np.int64], burst: Floats
    ) -> npt.NDArray[Any]:
        """Return spreads in whole points: wider at the roll, in quiet hours and in bursts."""
        usual = float(self._specs[symbol].spread_points)
        of_day = minute % _MINUTES
        to_roll = np.minimum(of_day, _MINUTES - of_day)
        roll = 1.0 + 4.0 * np.maximum(0.0, 1.0 - to_roll / 20.0)
        quiet = np.where(_ACTIVITY[of_day // 60] < 0.65, 1.4, 1.0)
        draw = 0.8 + 0.4 * uniforms(self._key(symbol, "spread"), minute)
        wide = np.minimum(draw * quiet * roll * (0.5 + 0.5 * burst), 10.0)
        return np.maximum(1.0, np.rint(usual * wide))

    def _make_rows(self, symbol: str, day: int) -> list[Bar]:
        return [Bar._make(row) for row in self._block(symbol, day).tolist()]


def _traded(day: int) -> bool:
    return day >= _FIRST_DAY and (day + 3) % 7 < 5


def _trading_day(day: int) -> int:
    """Number a weekday among the trading days since the first."""
    weeks, weekday = divmod(day - _FIRST_DAY, 7)
    return weeks * 5 + weekday


def _usd_sign(spec: SymbolSpec) -> float:
    return float(spec.profit_currency == "USD") - float(spec.base == "USD")


def _profile(spec: SymbolSpec) -> Profile:
    return PROFILES.get(spec.name, Profile(10.0 ** (5 - spec.digits), 0.008))


def _reach(key: int, minute: npt.NDArray[np.int64], size: Floats) -> Floats:
    """Return how far, in points, an extreme lies beyond open and close."""
    points: Floats = np.floor(0.6 * np.abs(normals(key, minute)) * size)
    return points
