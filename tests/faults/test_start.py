"""A start whose terminal host dies under it: asked again for a while, then one line."""

from collections.abc import Callable

import pytest

from engine.model.errors import BrokerError
from engine.portfolio.compile import CompiledPortfolio
from engine.runtime import terminal_start as patience
from engine.runtime.engine import Engine
from engine.runtime.state_dir import StateDir
from engine.settings.settings import load_settings
from engine.terminal.gateway import Gateway
from tests.faults.bench import Bench
from tests.faults.engine_process import demo_home, running

PORTFOLIO = """
[[strategy]]
name = "one"
kind = "ma_cross"
symbol = "EURUSD"
sizing = { method = "fixed_lots", lots = 0.1 }
"""


class Unlucky(Engine):
    """An engine whose first host dies in a call of `function`."""

    function = ""

    def _open_gateway(self, compiled: CompiledPortfolio, state: StateDir) -> Gateway:
        gateway = super()._open_gateway(compiled, state)
        gateway.control({"op": "set_fault", "call": self.function, "kind": "exit"})
        return gateway


@pytest.mark.parametrize("function", ["symbol_info", "copy_rates_from_pos", "positions_get"])
def test_a_host_that_dies_once_in_a_start_is_replaced(function: str) -> None:
    """The start goes on with the next one, and says so."""
    with demo_home(PORTFOLIO):
        engine = Unlucky(load_settings(mode="demo"))
        engine.function = function
        with running(engine):
            assert engine._gateway is not None
            assert engine._gateway.restarts == 1
            assert [e for e in engine.events.newest() if "trying again in" in e.text]


def test_a_host_that_dies_always_ends_the_start_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many tries, with where to look; nothing is left running."""
    monkeypatch.setattr(patience, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(patience, "TRIES_MAX", 3)
    monkeypatch.setenv("PMPRO_DEMO__FAULTS", "crash@copy_rates_from_pos")
    with demo_home(PORTFOLIO):
        engine = Engine(load_settings(mode="demo"))
        with pytest.raises(
            BrokerError, match=r"asked 3 times: see logs/terminal-host\.log"
        ) as told:
            engine.start()
        assert "\n" not in str(told.value)
        assert engine._gateway is not None
        assert engine._gateway.host_pid == 0


def test_what_a_sound_terminal_answers_is_not_asked_again(make_bench: Callable[..., Bench]) -> None:
    """A symbol that it does not have is told at once."""
    bench = make_bench({"a": "F"})
    said: list[str] = []
    with pytest.raises(BrokerError, match="no symbol NOTHING"):
        patience.patiently(
            bench.gateway,
            lambda: bench.gateway.symbols(["NOTHING"]),
            wait=lambda wait_s: pytest.fail("it waited"),
            say=said.append,
        )
    assert said == []
