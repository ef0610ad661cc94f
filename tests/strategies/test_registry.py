"""Kinds by name: mistakes are one line that says what is allowed; the manual tells the truth."""

import re
from pathlib import Path

import numpy as np
import pytest

from engine.model.errors import StrategyError
from engine.model.times import NS_PER_MINUTE, Timeframe
from strategies.base import Params
from strategies.loader import load_file
from strategies.registry import KINDS, create, parameters
from strategies.variants import variants
from strategies.windows import evaluate_period
from tests.strategies.series import bars_at, columns_of, utc

MANUAL = Path(__file__).resolve().parents[2] / "docs" / "STRATEGY_DEVELOPMENT.md"


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("ma_cros", {}, "'ma_cros' is unknown, did you mean 'ma_cross'? allowed: ma_cross, rsi"),
        ("zebra", {}, "'zebra' is unknown: allowed: ma_cross"),
        ("ma_cross", {"fats": 9}, "parameter 'fats' is unknown, did you mean 'fast'?"),
        ("ma_cross", {"fast": 1}, "fast = 1 must be a whole number from 2 to 1000 bars"),
        ("ma_cross", {"fast": 2.0}, "fast = 2.0 must be a whole number"),
        ("ma_cross", {"fast": True}, "fast = True must be a whole number"),
        ("ma_cross", {"fast": "9"}, "fast = '9' must be a whole number"),
        ("ma_cross", {"average": "wma"}, "average = 'wma' must be 'ema' or 'sma'"),
        ("ma_cross", {"average": ["sma"]}, "must be 'ema' or 'sma'"),
        ("ma_cross", {"fast": 60}, "fast = 60 must be below slow = 60"),
        ("macd", {"fast": 30}, "fast = 30 must be below slow = 26"),
        ("donchian_breakout", {"exit": 55}, "exit = 55 must be below entry = 55"),
        ("rsi_reversion", {"oversold": 60}, "exit_level = 50 must lie between"),
        ("mtf_trend", {"fast": 24}, "fast = 24 must be below slow = 24"),
        ("mtf_trend", {"higher": "M1"}, "higher = 'M1' must be 'D1' or 'H1' or 'H4' or 'M15'"),
        ("session_breakout", {"close_minutes": 30}, "close_minutes = 30 must be above range"),
        ("pair_spread", {"exit_z": 2.0}, "exit_z = 2 must be below entry_z = 2"),
        ("pair_spread", {}, "others = [] must name 1 more symbols"),
        ("macd", {"stop_points": -1}, "stop_points = -1 must be a number from 0 to 1e+07 points"),
        ("macd", {"stop_points": float("nan")}, "stop_points = nan must be a number"),
        ("macd", {"stop_points": float("inf")}, "stop_points = inf must be a number"),
    ],
)
def test_a_mistake_is_one_line_that_helps(kind, params, words):
    """The message names value and allowed values, and the strategy where it has a name."""
    with pytest.raises(StrategyError) as caught:
        create(kind, params, "EURUSD", "M1", 1e-5, "my-strategy")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kind not in KINDS or "'my-strategy'" in str(caught.value)


def test_an_unknown_timeframe_lists_the_known_ones():
    """M2 is answered with the timeframes there are."""
    with pytest.raises(StrategyError, match="'M2' must be one of M1, M5"):
        create("macd", {}, "EURUSD", "M2", 1e-5)


def test_whole_numbers_pass_for_fractional_parameters():
    """`stop_points = 150` in a file is 150.0."""
    strategy = create("macd", {"stop_points": 150}, "EURUSD", Timeframe.M5, 1e-5)
    assert strategy.inputs == (("EURUSD", Timeframe.M5, strategy.warmup),)
    assert strategy.params.stop_points == 150


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_typed_documented_and_its_default_allowed(kind):
    """What the optimiser and the manual read is complete."""
    for parameter in parameters(KINDS[kind].params_type):
        assert parameter.description
        assert parameter.admits(parameter.default)
        assert parameter.choices or parameter.low < parameter.high
    assert [p.name for p in parameters(KINDS[kind].params_type)][-2:] == list(
        Params.__struct_fields__
    )
    assert KINDS[kind].__module__ == f"strategies.library.{kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_variants_of_every_kind(kind):
    """Benchmarks have plenty of different, valid strategies."""
    many = variants(kind, 100)
    assert len({repr(params) for params in many}) == 100
    others = ["OTHER"] * (KINDS[kind].n_symbols - 1)
    made = [create(kind, params, "", "M1", 1e-5, others=others) for params in many]
    assert all(strategy.warmup < 3000 for strategy in made)


def test_the_manual_lists_exactly_the_parameters_there_are():
    """Every kind's table in the manual is the registry's."""
    text = MANUAL.read_text(encoding="utf-8")
    for kind, cls in KINDS.items():
        section = re.search(rf"^### `{kind}`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, kind
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", section[1], re.MULTILINE)
        own = [p for p in parameters(cls.params_type) if p.name not in Params.__struct_fields__]
        assert rows == [(p.name, p.description, str(p.default), p.allowed) for p in own]


def test_the_manuals_example_works(tmp_path):
    """The strategy in the manual loads and keeps the contract on its anchored windows."""
    source = re.search(r"```python\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    assert source
    path = tmp_path / "momentum.py"
    path.write_text(source[1])
    try:
        (kind,) = load_file(path)
        bars = columns_of(bars_at(utc("2018-03-05 00:00") + np.arange(2000) * NS_PER_MINUTE))
        signals = evaluate_period(create(kind, {}, "EURUSD", "M1", 1e-5), bars, 1440, 2000)
        assert {-1, 1} == set(signals.direction.tolist())
    finally:
        KINDS.pop("my_momentum", None)


def test_a_file_brings_its_kinds(tmp_path):
    """A user's file is loaded by path, under a name that shadows nothing, and may be reloaded."""
    path = tmp_path / "numpy.py"
    path.write_text(
        "from strategies.library.macd import Macd\nclass Mine(Macd):\n    kind = 'mine_of_test'\n"
    )
    try:
        assert load_file(path) == ["mine_of_test"]
        assert load_file(path) == ["mine_of_test"]
        assert create("mine_of_test", {}, "EURUSD", "M1", 1e-5).warmup > 0
    finally:
        KINDS.pop("mine_of_test", None)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("x = 1\n", "defines no class derived from"),
        (
            "from strategies.library.macd import Macd\nclass M(Macd):\n    kind = 'ma_cross'\n",
            "'ma_cross' exists already",
        ),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, source, words):
    """What is wrong with a user's file is said with its path."""
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(StrategyError, match=words) as caught:
        load_file(path)
    assert str(path) in str(caught.value)
