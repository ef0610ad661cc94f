"""Kinds by name, and strategies made from names and plain parameters.

Every mistake is a StrategyError of one line that says what is allowed.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import inspect

from engine.model.errors import StrategyError
from engine.model.near import meant
from engine.model.printable import printable
from engine.model.times import Timeframe
from strategies.base import Input, Params, Strategy
from strategies.library.adx_trend import AdxTrend
from strategies.library.bollinger_reversion import BollingerReversion
from strategies.library.donchian_breakout import DonchianBreakout
from strategies.library.keltner_channel import KeltnerChannel
from strategies.library.ma_cross import MaCross
from strategies.library.macd import Macd
from strategies.library.momentum import Momentum
from strategies.library.mtf_trend import MtfTrend
from strategies.library.pair_spread import PairSpread
from strategies.library.rsi_reversion import RsiReversion
from strategies.library.session_breakout import SessionBreakout
from strategies.library.stochastic import Stochastic
from strategies.library.support_resistance import SupportResistance
from strategies.library.vwap_reversion import VwapReversion

KINDS: dict[str, type[Strategy]] = {
    cls.kind: cls
    for cls in (
        MaCross,
        RsiReversion,
        SupportResistance,
        BollingerReversion,
        DonchianBreakout,
        Macd,
        Stochastic,
        AdxTrend,
        KeltnerChannel,
        Momentum,
        SessionBreakout,
        VwapReversion,
        MtfTrend,
        PairSpread,
    )
}


# Decades of minutes.
_WARMUP_MAX_BARS = 10_000_000


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind's parameter may be; `low` and `high` are inclusive, None for a choice."""

    name: str
    type: type[int] | type[float] | type[str]
    default: float | str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    description: str = ""

    @property
    def allowed(self) -> str:
        """Return the allowed values in words."""
        if self.choices:
            return " or ".join(repr(choice) for choice in self.choices)
        sort = "a whole number" if self.type is int else "a number"
        return f"{sort} from {self.low:g} to {self.high:g} {self.unit}".rstrip()

    def admits(self, value: object) -> bool:
        """Tell whether `value` has the right type and range."""
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.type is int and not isinstance(value, int):
            return False
        assert self.low is not None
        assert self.high is not None
        return bool(self.low <= value <= self.high)  # NaN is between nothing


@cache
def parameters(params_type: type[Params]) -> tuple[Parameter, ...]:
    """Return the parameters of a kind in their order, those common to all kinds last."""
    info = inspect.type_info(params_type)
    assert isinstance(info, inspect.StructType)
    found = [_parameter(field) for field in info.fields]
    common = Params.__struct_fields__
    return tuple(sorted(found, key=lambda p: p.name in common))


def _parameter(field: inspect.Field) -> Parameter:
    meta = field.type
    if not isinstance(meta, inspect.Metadata):
        raise StrategyError(f"parameter {field.name} has no range and no description")
    words = {
        "name": field.name,
        "default": field.default,
        "unit": (meta.extra or {}).get("unit", ""),
        "description": (meta.extra_json_schema or {}).get("description", ""),
    }
    if isinstance(meta.type, inspect.LiteralType):
        return Parameter(type=str, choices=tuple(map(str, meta.type.values)), **words)
    assert isinstance(meta.type, inspect.IntType | inspect.FloatType)
    sort: type[int | float] = int if isinstance(meta.type, inspect.IntType) else float
    return Parameter(type=sort, low=meta.type.ge, high=meta.type.le, **words)


_BUILT_IN: Final = frozenset(KINDS.values())


def is_built_in(strategy: Strategy) -> bool:
    """Tell whether a strategy's code is pmpro's own."""
    return type(strategy) in _BUILT_IN


def register(cls: type[Strategy]) -> None:
    """Add a kind, or put a new version in its place."""
    KINDS[cls.kind] = cls


def kind_of(kind: str) -> type[Strategy]:
    """Return the class of a kind."""
    if kind not in KINDS:
        raise StrategyError(f"strategy {unknown_kind(kind)}")
    return KINDS[kind]


def unknown_kind(kind: str) -> str:
    """Return what is said of a kind that is not there."""
    return f"kind {kind!r} is unknown{_choose_from(kind, KINDS)}"


def create(
    kind: str,
    params: Mapping[str, Any],
    symbol: str,
    timeframe: Timeframe | str,
    point: float,
    name: str = "",
    others: Sequence[str] = (),
) -> Strategy:
    """Return a strategy of a kind with checked parameters; `point` is the symbol's price step.

    `others` are the symbols that it reads beside its own, as many as its kind asks for.
    """
    where = f"strategy {name!r} ({kind})" if name else kind
    if name and kind not in KINDS:
        raise StrategyError(f"strategy {name!r}: {unknown_kind(kind)}")
    cls = kind_of(kind)
    _check(where, parameters(cls.params_type), params)
    try:
        checked = cls.params_type(**params)
    except ValueError as error:  # a contradiction, from __post_init__
        raise StrategyError(f"{where}: {error}") from None
    _check_symbols(where, cls.n_symbols, symbol, others)
    frame = _timeframe(where, timeframe)
    # A kind that reads one symbol need not take `others`.
    more = {"others": tuple(others)} if others else {}
    made = cls(checked, symbol=symbol, timeframe=frame, point=point, name=name, **more)
    _check_inputs(where, made)
    return made


def _check_symbols(where: str, n_symbols: int, symbol: str, others: Sequence[str]) -> None:
    if len(others) != n_symbols - 1:
        raise StrategyError(
            f"{where}: others = {list(others)} must name {n_symbols - 1} more symbols"
        )
    if len({symbol, *others}) != n_symbols:
        raise StrategyError(f"{where}: others = {list(others)} must differ from {symbol!r}")


def _check_inputs(where: str, made: Strategy) -> None:
    inputs: object = made.inputs
    if not isinstance(inputs, tuple) or not inputs or not all(map(_is_input, inputs)):
        raise StrategyError(
            f"{where}: inputs must be a tuple of Input(symbol, timeframe, warmup), warmup a whole "
            f"number of bars from 0 to {_WARMUP_MAX_BARS:,}"
        )
    for need in made.inputs:
        if need.symbol not in made.symbols:
            raise StrategyError(
                f"{where}: reads {printable(repr(need.symbol))}, which is none of its symbols "
                f"{', '.join(made.symbols)}"
            )
    for other in made.inputs[1:]:
        if other.timeframe < made.timeframe:
            raise StrategyError(
                f"{where}: reads {other.timeframe.name}, which is below its own timeframe "
                f"{made.timeframe.name}"
            )


def _is_input(need: object) -> bool:
    return (
        isinstance(need, Input)
        and type(need.symbol) is str
        and isinstance(need.timeframe, Timeframe)
        and type(need.warmup) is int
        and 0 <= need.warmup <= _WARMUP_MAX_BARS
    )


def _check(where: str, allowed: tuple[Parameter, ...], given: Mapping[str, Any]) -> None:
    by_name = {parameter.name: parameter for parameter in allowed}
    for name, value in given.items():
        if name not in by_name:
            raise StrategyError(
                f"{where}: parameter {name!r} is unknown{_choose_from(name, by_name)}"
            )
        if not by_name[name].admits(value):
            raise StrategyError(
                f"{where}: {name} = {_short(value)} must be {by_name[name].allowed}"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)} characters)"


def _timeframe(where: str, timeframe: Timeframe | str) -> Timeframe:
    try:
        return Timeframe[timeframe] if isinstance(timeframe, str) else Timeframe(timeframe)
    except (KeyError, ValueError):
        names = ", ".join(t.name for t in Timeframe)
        raise StrategyError(f"{where}: timeframe {timeframe!r} must be one of {names}") from None


def _choose_from(wrong: str, names: Iterable[str]) -> str:
    known = list(names)
    return f"{meant(wrong, known) or ':'} allowed: {', '.join(known)}"
