"""Portfolio files of any content: each runs, or is refused in one line that names the key."""

import math
import tomllib

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backtest.report import summary
from backtest.simulate import simulate
from engine.model.errors import ConfigError, UserError
from engine.model.portfolio import BookSpec, Portfolio, StrategySpec
from engine.model.server_clock import ServerClock
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio, read_portfolio
from engine.portfolio.text import portfolio_text, toml_text
from tests.backtest.scripted import MONDAY, flat_bars

FILE = """
server_clock = "new_york+7"
[account]
balance_ccy = 10000.0
leverage = 30
[symbols.EURUSD]
digits = 5
contract_size = 100000.0
volume_min_lots = 0.01
volume_max_lots = 100.0
volume_step_lots = 0.01
spread_points = 8.0
commission_per_lot_ccy = 3.5
swap_long_points = -6.0
swap_short_points = 2.0
swap_triple_weekday = 2
stops_level_points = 0.0
order_max_lots = 50.0
entry_hours = "00:00-24:00"
base = "EUR"
profit_currency = "USD"
[risk]
closed_days = ["2018-01-01"]
restricted = []
[[strategy]]
name = "a"
kind = "ma_cross"
symbol = "EURUSD"
timeframe = "M1"
params = { fast = 2, slow = 4, stop_points = 50.0 }
[[strategy]]
name = "b"
kind = "momentum"
symbol = "EURUSD"
enabled = true
max_orders_per_day = 10
max_lots = 5.0
sizing = { method = "kelly", risk_frac = 0.01, kelly_frac = 0.5, kelly_min_trades = 5 }
stops = { trail_points = 40.0, step_points = 5.0 }
[[book]]
name = "c"
members = { "a" = 1.0 }
enter = 0.2
exit = 0.1
quorum = 1
sizing = { method = "fixed_lots", lots = 0.1 }
[allocation]
method = "score"
shares = { "c" = 1.0, "b" = 2.0 }
half_life_days = 30.0
min_days = 20
[allocation.switch]
min_days = 20
cool_down_days = 5
"""
PRICES = [f"1.1{i % 7:03}0" for i in range(40)]
BARS = {"EURUSD": flat_bars(PRICES), "USDJPY": flat_bars(["110.5"] * 40)}
MINUTE = 60_000_000_000
ANY = settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def plain() -> dict:
    return msgspec.to_builtins(msgspec.toml.decode(FILE.encode()))


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in nested tables and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    out = []
    for key, part in inner:
        out.append((*path, key))
        if isinstance(part, dict | list):
            out += places(part, (*path, key))
    return out


def runs_or_is_refused(text: str) -> str:
    """Run the portfolio; return the refusal in its one line, "" where it ran."""
    try:
        compiled = compile_portfolio(parse_portfolio(text, "p.toml"))
        result = simulate(compiled, BARS, MONDAY * MINUTE, (MONDAY + 40) * MINUTE)
        figures = summary(result)
    except UserError as error:
        message = str(error)
    else:
        assert math.isfinite(figures["final_balance_ccy"])
        return ""
    assert message.isprintable()
    assert len(message) < 1000
    return message


_VALUES = st.one_of(
    st.sampled_from([0, 1, -1, 7, 18, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400]),
    st.sampled_from([0.0, -0.0, 1e-320, 1e-12, 1e-8, 0.5, 1.0, 1e6, 1e12, 1e300, 1.7e308]),
    st.sampled_from([math.inf, -math.inf, math.nan, True, [], {}, [[]], {"x": 1}, "", "a"]),
    st.sampled_from(["UTC+99", "new_york+99", "Europe", "JPY", "XXX", "hedging", "a\nb", "\0"]),
    st.floats(),
    st.integers(-1000, 1000),
    st.text(max_size=10),
)


@ANY
@given(st.sampled_from(places(plain())), _VALUES)
@example(("symbols", "EURUSD", "digits"), 18)
@example(("symbols", "EURUSD", "volume_step_lots"), 1e-320)
@example(("strategy", 0, "params", "fast"), 10**400)
def test_any_value_anywhere(path, value):
    """One value is anything: nothing but a run or a refusal comes of it."""
    tables = plain()
    at = tables
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    runs_or_is_refused(toml_text(tables))


@ANY
@given(st.data())
def test_any_damage_to_the_text(data):
    """Half files, doubled lines, odd characters."""
    text = FILE
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        upto = data.draw(st.integers(at, min(len(text), at + 30)))
        text = text[:at] + data.draw(st.sampled_from(['"', "[", "\0", "=", "\n", "é", "]]", "x."]))
        text += FILE[upto:]
    runs_or_is_refused(text)


def test_the_file_itself_runs():
    """What the others change is right as it stands."""
    assert runs_or_is_refused(FILE) == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("digits = 5", "digits = 18", "symbols.EURUSD.digits is 18; allowed: 0 to 10"),
        ("digits = 5", f"digits = {10**30}", "(31 digits); allowed: 0 to 10"),
        ("triple_weekday = 2", "triple_weekday = 7", "allowed: 0 (Monday) to 6 (Sunday)"),
        ("volume_min_lots = 0.01", "volume_min_lots = 200.0", "at most volume_max_lots, 100.0"),
        ("volume_step_lots = 0.01", "volume_step_lots = 1000.0", "no multiple of it lies between"),
        ('"new_york+7"', '"UTC+99"', "UTC-14 to UTC+14"),
        ('"new_york+7"', '"UTC+2:99"', "UTC-14 to UTC+14"),
        ('"new_york+7"', '"new_york+99"', "new_york-9 to new_york+18"),
        ('"new_york+7"', '"Europe"', "an IANA zone such as Europe/Athens"),
        ("leverage = 30", "leverage = 0", "account.leverage is 0; it must be at least 1"),
        ("balance_ccy = 10000.0", "balance_ccy = inf", "above 0 and at most 1e+13"),
        ('profit_currency = "USD"', 'profit_currency = "U D"', "write a currency such as 'USD'"),
        ('"2018-01-01"', '"20180101"', "write YYYY-MM-DD"),
        ('"2018-01-01"', '"0001-01-01"', "write YYYY-MM-DD"),
        ('name = "a"', 'name = "a\\n"', "a name is 1 to 63 letters"),
        ("[symbols.EURUSD]", '[symbols."EUR/USD"]', "terminal.symbol_names"),
        (
            'members = { "a" = 1.0 }',
            'members = { "a" = 1e300 }',
            "it must be above 0 and at most 1e+06",
        ),
    ],
)
def test_a_refusal_names_the_key_and_what_is_allowed(old, new, words):
    """Each was taken in silence, or ended as an internal error."""
    assert FILE.count(old) == 1
    message = runs_or_is_refused(FILE.replace(old, new))
    assert words in message
    assert message.startswith("p.toml: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 100_000, "nested too deep"),
        ("a." * 60_000 + "b = 1", "line 1: a key is nested deeper than 40"),
        ("[" + "a." * 60_000 + "b]", "line 1: a key is nested deeper than 40"),
        ("account = { balance_ccy = " + "1" * 5000 + " }", "a number has thousands of digits"),
        ("a = 1\0", "not TOML"),
    ],
)
def test_a_text_that_no_parser_can_take_is_refused(text, words):
    """Depth and length end in one line, and soon."""
    with pytest.raises(ConfigError, match=r"^p\.toml: ") as caught:
        parse_portfolio(text, "p.toml")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (FILE.encode("utf-16"), "the text is UTF-16; save it as UTF-8"),
        (b"# caf\xe9\n" + FILE.encode(), "line 1: byte 0xe9 is not UTF-8"),
        (b"# " + b"x" * 3_000_000, "longer than 2,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, words):
    """The line says which encoding to save it in, or that it is another file."""
    path = tmp_path / "p.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_portfolio(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_byte_order_mark_and_windows_lines_say_nothing(tmp_path):
    """Editors on other systems write them."""
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    assert read_portfolio(path) == parse_portfolio(FILE, "p.toml")


def test_bounds_leave_every_default_and_every_real_clock():
    """What is refused is no broker's: the defaults and all offsets in use are allowed."""
    assert Portfolio() == msgspec.convert({}, Portfolio)
    for rule in ("UTC-12", "UTC+14", "UTC+5:45", "new_york+7", "Pacific/Kiritimati", "UTC"):
        ServerClock(rule)


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


@given(
    params=st.dictionaries(
        NAMES, st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | NAMES
    ),
    members=st.dictionaries(NAMES, st.floats(allow_nan=False), max_size=6),
)
@example(params={"C:\\Users": "a\tb\x7f\x9b\u202e", "😀": 'x"\\U0001'}, members={"b\n": 1.0})
def test_a_portfolio_s_text_says_the_same_in_the_same_order(params, members):
    """TOML of any names and values is read back as it was, members in their order, and nothing in
    it moves a terminal."""
    one = Portfolio(
        strategy=[StrategySpec(name="s", kind="k", symbol="EURUSD", params=params)],
        book=[BookSpec(name="b", members=members)],
    )
    text = portfolio_text(one)
    assert text.replace("\n", "").isprintable()
    again = msgspec.convert(tomllib.loads(text), Portfolio)
    assert again == one
    assert list(again.book[0].members) == list(members)
