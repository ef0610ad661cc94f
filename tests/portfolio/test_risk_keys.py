"""Limits, account and declarations of a portfolio file: a slip of the pen is one line."""

import pytest

from engine.model.errors import ConfigError
from engine.model.portfolio import RISK_LIMITS
from engine.portfolio.file import parse_portfolio

ONE = '[[strategy]]\nname = "a"\nkind = "ma_cross"\nsymbol = "EURUSD"\n'


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse_portfolio(text, "p.toml")
    said = str(refused.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("value", ["1e300", "inf", "nan", "-1.0", "0.0", "1e16"])
@pytest.mark.parametrize("name", RISK_LIMITS)
def test_no_limit_is_limitless(name, value):
    """What no account can reach was not meant: each limit has a ceiling, and none is NaN."""
    said = refusal(f"{ONE}[risk]\n{name} = {value}\n")
    assert f"risk.{name} is " in said
    assert "it must be above 0 and at most" in said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            "[risk]\ndaily_loss_max_frac = 5",
            "daily_loss_max_frac is 5.0; it must be above 0 and at",
        ),
        ("[risk]\naccount_drawdown_max_frac = 20", "at most 1"),
        ("[risk]\nmargin_max_frac = 90", "at most 1"),
        ("[risk]\norder_max_lots = 1e300", "order_max_lots is 1e+300; it must be above 0 and at"),
        ("[symbols.EURUSD]\norder_max_lots = 1e300", "symbols.EURUSD.order_max_lots is 1e+300"),
        ("[account]\nbalance_ccy = 1e300", "account.balance_ccy is 1e+300; it must be above 0 and"),
        ("[account]\nleverage = 100001", "account.leverage is 100001; it must be at least 1 and"),
        ('[[book]]\nname = "b"\nmembers = { a = 1 }\nmax_lots = nan', "book 'b': max_lots is nan"),
        ('[[book]]\nname = "b"\nmembers = { a = 1 }\nmax_lots = -1', "book 'b': max_lots is -1.0"),
        (
            '[[book]]\nname = "b"\nmembers = { a = 1 }\nmax_orders_per_day = -2',
            "book 'b': max_orders_per_day is -2; 0 declares nothing",
        ),
        ('[[strategy]]\nname = "c"\nkind = "k"\nsymbol = "EURUSD"\nmax_lots = 1e300', "1e+300"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_what_is_allowed(keys, said):
    """5 for 5 %, a zero too many, a negative promise: the key, the value and what is allowed."""
    assert said in refusal(f"{ONE}{keys}\n")


def test_generous_limits_are_no_slips():
    """Whoever wants a rule out of the way may have it so."""
    generous = "\n".join(
        f"{name} = 1.0" if name.endswith("_frac") else f"{name} = 1e9"
        for name in RISK_LIMITS
        if not name.startswith(("drawdown_", "sample_"))
    )
    parse_portfolio(f"{ONE}[risk]\n{generous}\n", "p.toml")
    parse_portfolio(
        f"{ONE}[risk]\norder_max_lots = 1e15\ngross_exposure_max_frac = 1000.0\n"
        "diversify_above_frac = 100000.0\nvar_max_frac = 100.0\n",
        "p.toml",
    )
