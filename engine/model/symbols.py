"""What a symbol is: the contract facts that money and rounding need."""

import math

import msgspec
import numpy as np

from engine.model.bars import Bars


class SymbolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Contract of one symbol; a terminal's own specification wins over these.

    Swaps are points per lot and night; negative is paid. `swap_triple_weekday` counts
    Monday 0 … Sunday 6. `spread_points` serves where data has no spread.
    """

    name: str
    digits: int
    contract_size: float
    base: str
    profit_currency: str
    volume_min_lots: float = 0.01
    volume_max_lots: float = 100.0
    volume_step_lots: float = 0.01
    spread_points: float = 10.0
    commission_per_lot_ccy: float = 3.5
    swap_long_points: float = 0.0
    swap_short_points: float = 0.0
    swap_triple_weekday: int = 2
    stops_level_points: float = 0.0

    @property
    def point(self) -> float:
        """Return the smallest price step."""
        return float(10.0**-self.digits)

    @property
    def spread(self) -> float:
        """Return the spread, in price, that serves where data has none: whole points."""
        return round(self.spread_points) / float(10.0**self.digits)


def fill_unknown(bars: Bars, spec: SymbolSpec) -> Bars:
    """Return the bars as a terminal shows them: it knows every spread and volume.

    Where the data has no spread it is the contract's (0 is a spread), where it has no volume 0.
    """
    filled = bars
    for name, value in (("spread", spec.spread), ("volume", 0.0)):
        unknown = np.isnan(filled[name])
        if unknown.any():
            filled = bars.copy() if filled is bars else filled
            filled[name][unknown] = value
    return filled


def price_text(price: float) -> str:
    """Return a price in full, up to five places, more below 1: never rounded to digits in all."""
    places = 5 if not 0.0 < abs(price) < 1.0 else min(10, 5 - math.floor(math.log10(abs(price))))
    return f"{price:.{places}f}".rstrip("0").rstrip(".")


def _fx(name: str, digits: int, spread: float, long: float, short: float) -> SymbolSpec:
    return SymbolSpec(
        name=name,
        digits=digits,
        contract_size=100_000.0,
        base=name[:3],
        profit_currency=name[3:],
        spread_points=spread,
        swap_long_points=long,
        swap_short_points=short,
    )


def _cfd(name: str, digits: int, contract: float, spread: float, commission: float) -> SymbolSpec:
    return SymbolSpec(
        name=name,
        digits=digits,
        contract_size=contract,
        base=name[:3],
        profit_currency=name[3:],
        spread_points=spread,
        commission_per_lot_ccy=commission,
    )


# Typical retail conditions, for simulation only; a portfolio file or a terminal overrides them.
DEFAULT_SYMBOLS: dict[str, SymbolSpec] = {
    spec.name: spec
    for spec in (
        _fx("EURUSD", 5, 8, -6.1, 2.0),
        _fx("GBPUSD", 5, 10, -4.5, 0.5),
        _fx("AUDUSD", 5, 9, -2.6, -0.4),
        _fx("NZDUSD", 5, 12, -1.8, -0.8),
        _fx("USDCAD", 5, 12, -0.4, -3.2),
        _fx("USDCHF", 5, 11, 2.8, -7.4),
        _fx("USDJPY", 3, 9, 3.5, -9.0),
        _fx("EURJPY", 3, 14, 1.5, -6.5),
        _fx("GBPJPY", 3, 20, 3.0, -9.5),
        _fx("EURGBP", 5, 11, -4.0, 0.8),
        _cfd("XAUUSD", 2, 100.0, 25, 3.5),
        _cfd("XAGUSD", 3, 5_000.0, 25, 3.5),
        _cfd("SPXUSD", 2, 10.0, 50, 0.0),
        _cfd("NSXUSD", 2, 10.0, 120, 0.0),
        _cfd("BTCUSD", 2, 1.0, 3000, 0.0),
    )
}
