"""Programs written for the official module run unmodified on the simulated one."""

import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.errors import UserError
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.terminal.simulated.module.module import as_module
from engine.terminal.simulated.module.script import run_script
from engine.terminal.simulated.prices.generated import GeneratedSource
from tests.terminal.simulated.module.test_interface import functions
from tests.terminal.simulated.samples import SAMPLES, START
from tests.terminal.simulated.worlds import EUR, JPY, deal, make_terminal

# Tuesday 2026-01-13 08:00 UTC.
START_NS = 1_768_291_200_000_000_000

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a program's text over generated prices; the interpreter is put back afterwards."""
    for name in ("MetaTrader5", "MetaTrader5._core", "__main__"):
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name, sys))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    symbols = [EUR, "GBPUSD", JPY, "EURJPY"]
    specs = [DEFAULT_SYMBOLS[name] for name in symbols]

    def run_text(text: str, *arguments: str) -> int:
        terminal = make_terminal(
            {},
            source=GeneratedSource(5, specs),
            symbols=symbols,
            start_ns=START_NS,
            account={"any_login": True},
            liquidity_lots=50.0,
        )
        terminal.shutdown()
        script = tmp_path / "program.py"
        script.write_text(text, encoding="utf-8")
        return run_script(script, arguments, as_module(terminal))

    return run_text


def test_every_function_has_a_sample():
    """No function is left out."""
    assert SAMPLES.keys() == functions().keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_print_sane_things(name, run, capsys):
    """A program for each function ends well and prints what a terminal would make it print."""
    text, pattern = SAMPLES[name]
    assert run(text) == 0
    out = capsys.readouterr().out
    assert re.search(rf"(?m)^{pattern}$", out), out


def test_a_script_is_main_with_its_own_arguments(run, capsys, tmp_path):
    """`__name__`, `__file__`, `sys.argv` and imports beside it are as Python has them."""
    (tmp_path / "beside.py").write_text("VALUE = 41\n", encoding="utf-8")
    text = """
import pickle, sys
import beside

class Mine:
    pass

if __name__ == "__main__":
    print(sys.argv[1:], __file__ == sys.argv[0], beside.VALUE)
    print(type(pickle.loads(pickle.dumps(Mine()))) is Mine)
"""
    assert run(text, "--lots", "0.1") == 0
    assert capsys.readouterr().out == "['--lots', '0.1'] True 41\nTrue\n"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("def fails():\n    return 1 / 0\n\nfails()\n", "ZeroDivisionError: division by zero"),
        (START + "mt5.order_send(magic=-1)\n", "SystemError: "),
        ("x = (\n", "SyntaxError: "),
    ],
)
def test_a_script_that_raises_shows_its_own_traceback(run, capsys, text, last):
    """The traceback begins in the script, and the code is 1."""
    assert run(text) == 1
    error = capsys.readouterr().err
    assert last in error.splitlines()[-1]
    assert "script.py" not in error
    assert "program.py" in error


def test_leaving_a_script_is_its_own_business(run):
    """`sys.exit` and `quit` leave with their code."""
    for text in ("import sys; sys.exit(5)", "quit(5)"):
        with pytest.raises(SystemExit, match="5"):
            run(text)


def test_a_missing_script_is_one_line(tmp_path):
    """A path that is no file names itself."""
    with pytest.raises(UserError, match=r"nothing\.py: cannot be read"):
        run_script(tmp_path / "nothing.py", (), as_module(make_terminal()))


def test_threads_take_turns():
    """Calls of several threads do not mix: every order has its own tickets."""
    module = as_module(make_terminal())
    results = []

    def trade():
        results.extend(module.order_send(deal(0, 0.01)) for _ in range(50))

    threads = [threading.Thread(target=trade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({r.deal for r in results}) == len({r.order for r in results}) == 200
    assert module.positions_total() == 200
