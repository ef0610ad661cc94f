"""`pmpro terminal check` on the simulated terminal."""

import json
from pathlib import Path

import pytest

from engine.files.lock_file import hold_lock
from tests.cli.conftest import Pmpro

PORTFOLIO = '[[strategy]]\nname = "a"\nkind = "ma_cross"\nsymbol = "EURUSD"\n'


def test_the_demo_has_nothing_in_the_way(pmpro: Pmpro, home: Path) -> None:
    """Every symbol of its portfolio has its line, no finding stops, and looking leaves no state."""
    done = pmpro("terminal", "check", "--mode", "demo", "--json", "--wait", "5")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["ok"]
    checked = {f["check"] for f in answer["findings"]}
    assert {"terminal", "account", "server clock", "EURUSD", "XAUUSD"} <= checked
    assert not (home / "state").exists()


def test_a_contradiction_is_a_stop_and_an_exit_code(
    pmpro: Pmpro, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another clock in the portfolio than in the settings would shift days: the line says both."""
    monkeypatch.setenv("PMPRO_TERMINAL__SERVER_CLOCK", "UTC+2")
    done = pmpro("terminal", "check", "--mode", "demo", "--json", "--wait", "0")
    assert done.returncode == 1
    assert "keep the engine from trading" in done.stderr
    (stop,) = [f for f in json.loads(done.stdout)["findings"] if f["status"] == "stop"]
    assert stop["check"] == "portfolio"
    assert "UTC+2" in stop["finding"]
    assert stop["remedy"]


def test_a_terminal_that_an_engine_uses_is_left_alone(
    pmpro: Pmpro, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One host at a time: the answer says whose turn it is."""
    monkeypatch.setenv("PMPRO_TERMINAL__MODULE", "mt5")
    (home / "portfolio.toml").write_text(PORTFOLIO)
    held = hold_lock(home / "state" / "pmpro" / "paper" / "terminal.lock", wait_s=0.0)
    assert held
    done = pmpro("terminal", "check", "--mode", "paper", "--json")
    assert done.returncode == 1
    (stop,) = json.loads(done.stdout)["findings"]
    assert stop["finding"] == "an engine uses it"


def test_a_box_without_the_module_says_so(pmpro: Pmpro, home: Path) -> None:
    """The official package cannot be here: one finding, in the operator's words."""
    (home / "config.toml").write_text("mode = 'paper'\n[terminal]\nmodule = 'mt5'\n")
    (home / "portfolio.toml").write_text(PORTFOLIO)
    done = pmpro("terminal", "check", "--config", home / "config.toml", "--json")
    assert done.returncode == 1
    (stop,) = json.loads(done.stdout)["findings"]
    assert "Windows only" in stop["finding"]
