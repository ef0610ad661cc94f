"""Allocation and switch of a portfolio file: what cannot work is refused in one line."""

import pytest

from engine.model.errors import ConfigError
from engine.portfolio.file import parse_portfolio

ONE = '[[strategy]]\nname = "a"\nkind = "ma_cross"\nsymbol = "EURUSD"\n'


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("half_life_days = 0", "allocation.half_life_days is 0.0; allowed: 1 to 10,000"),
        ("half_life_days = nan", "allocation.half_life_days is nan"),
        ("shrink_days = -1", "allocation.shrink_days is -1.0"),
        ("min_days = 65", "allocation.min_days is 65; allowed: 2 to 64"),
        ("floor_ratio = 1.1", "allocation.floor_ratio is 1.1; allowed: 0 to 1"),
        ("cap_ratio = 0.9", "allocation.cap_ratio is 0.9; allowed: 1 to"),
        ("turnover_max_frac = 0", "allocation.turnover_max_frac is 0.0"),
        ('method = "best"', "allowed: manual, score, inverse_volatility, hrp"),
        ("shares.a = 0", "allocation.shares are all 0; give at least one book a share"),
        ('level = "members"', "their [[book]]; drop level or choose another method"),
        ("switch.min_days = 65", "allocation.switch.min_days is 65; allowed: 2 to 64"),
        ("switch.cool_down_days = 0", "allocation.switch.cool_down_days is 0"),
        ("switch.disable_drawdown_r = 0", "allocation.switch.disable_drawdown_r is 0.0"),
        ("switch.enable_score = -0.3", "enable_score is -0.3; it must be at least disable_score"),
        ("switch.enable_drawdown_r = 21", "enable_drawdown_r is 21.0; it must be at most"),
        ("switch.scor = 1", "unknown key 'scor' in allocation.switch"),
    ],
)
def test_what_cannot_work_is_one_line_naming_file_and_key(keys, said):
    """No rule that never fires, and none that switches to and fro, gets as far as trading."""
    with pytest.raises(ConfigError) as refused:
        parse_portfolio(f"{ONE}[allocation]\n{keys}\n", "p.toml")
    text = str(refused.value)
    assert text.startswith("p.toml: ")
    assert said in text
    assert "\n" not in text


@pytest.mark.parametrize("method", ["manual", "score", "inverse_volatility", "hrp"])
def test_each_method_is_taken_with_the_defaults(method):
    """The defaults, of the switch too, pass their own checks."""
    text = f'{ONE}[allocation]\nmethod = "{method}"\n[allocation.switch]\n'
    allocation = parse_portfolio(text, "p.toml").allocation
    assert allocation.method == method
    assert allocation.switch is not None


def test_hrp_without_skfolio_is_refused_when_the_file_is_read(monkeypatch):
    """Not at midnight, when the first shares are due."""
    monkeypatch.setattr("engine.decision.allocation.hierarchical.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"p\.toml: allocation\.method: hrp needs skfolio: pip"):
        parse_portfolio(f'{ONE}[allocation]\nmethod = "hrp"\n', "p.toml")
