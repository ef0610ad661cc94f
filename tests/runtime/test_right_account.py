"""An engine refuses an account or a clock that is not what its files say."""

from pathlib import Path

import msgspec
import pytest

from engine.model.errors import ConfigError
from engine.model.portfolio import AccountSpec, Portfolio, StrategySpec
from engine.portfolio.compile import compile_portfolio
from engine.runtime.terminal_start import host_config, verify_account, verify_clock
from engine.settings.settings import load_settings
from tests.terminal.fake_api import ACCOUNT

PORTFOLIO = Portfolio(strategy=[StrategySpec(name="a", kind="ma_cross", symbol="EURUSD")])


def test_the_right_account_and_clock_pass() -> None:
    """The defaults agree with themselves."""
    settings = load_settings(mode="demo")
    verify_account(settings, ACCOUNT, PORTFOLIO)
    verify_clock(settings, PORTFOLIO)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"real_money": True}, "real money"),
        ({"currency": "EUR"}, "account.currency is USD"),
        ({"hedging": False}, "margin_mode is hedging"),
    ],
)
def test_a_wrong_account_is_refused_in_one_line(change: dict[str, object], words: str) -> None:
    """Paper never trades real money; currency and margin mode must be the portfolio's."""
    settings = load_settings(mode="paper")
    account = msgspec.structs.replace(ACCOUNT, **change)
    with pytest.raises(ConfigError, match=words) as caught:
        verify_account(settings, account, PORTFOLIO)
    assert "\n" not in str(caught.value)


def test_real_money_is_for_live_alone() -> None:
    """Live takes the account that paper refuses."""
    overrides = {"terminal.module": "mt5", "terminal.login": 7}
    settings = load_settings(mode="live", overrides=overrides)
    real = msgspec.structs.replace(ACCOUNT, real_money=True)
    verify_account(settings, real, PORTFOLIO)


def test_two_clocks_are_refused() -> None:
    """A backtest's trading day must be the one that trades."""
    other = msgspec.structs.replace(PORTFOLIO, server_clock="UTC+2", account=AccountSpec())
    with pytest.raises(ConfigError, match="set both to the broker's"):
        verify_clock(load_settings(mode="demo"), other)


def test_faults_are_the_demos_alone(tmp_path: Path) -> None:
    """The demo's terminal misbehaves as the option says; paper trades without."""
    compiled = compile_portfolio(PORTFOLIO)
    for mode, faults in (("demo", "requote"), ("paper", "")):
        settings = load_settings(mode=mode, overrides={"demo.faults": "requote"})
        config = host_config(settings, compiled, tmp_path, None)
        assert config.simulated["faults"] == faults
