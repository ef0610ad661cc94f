"""`pmpro terminal run`: programs for MetaTrader 5 as an operator runs them."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Pmpro

TUESDAY = ("--start", "2026-01-13T08:00")

TRADES = """
import sys
import MetaTrader5 as mt5

if __name__ == "__main__":
    assert mt5.initialize(login=123, password="x", server="Broker-Demo"), mt5.last_error()
    account = mt5.account_info()
    print(sys.argv[1:], account.login, account.server, account.margin_mode)
    result = mt5.Buy("EURUSD", 0.1)
    print(None if result is None else result.retcode, mt5.last_error())
    mt5.Sell("EURUSD", 0.3)
    print([(p.type, p.volume) for p in mt5.positions_get()])
    print(mt5.symbol_info_tick("EURUSD").bid)
    mt5.shutdown()
"""


@pytest.fixture
def script(home: Path) -> Path:
    """A program that trades and prints."""
    path = home / "trades.py"
    path.write_text(TRADES, encoding="utf-8")
    return path


def test_a_program_runs_unmodified_with_its_arguments(pmpro: Pmpro, script: Path) -> None:
    """Options before the script are ours, all after it is the program's; the seed repeats."""
    options = ("--seed", "3", "--speed", "0", *TUESDAY)
    done = pmpro("terminal", "run", *options, script, "--seed", "9", "x")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "['--seed', '9', 'x'] 123 Broker-Demo 2"
    assert lines[1] == "10009 (1, 'Success')"
    assert lines[2] == "[(0, 0.1), (1, 0.3)]"
    assert pmpro("terminal", "run", *options, script, "--seed", "9", "x").stdout == done.stdout
    other = pmpro("terminal", "run", "--seed", "4", *options[2:], script).stdout
    assert other.splitlines()[3] != lines[3]


def test_debug_after_the_program_is_the_programs(pmpro: Pmpro, script: Path, home: Path) -> None:
    """Nothing is taken from what a program is given; before it, `--debug` is ours."""
    given = ("--debug", "run", "--", "--help", "-x")
    done = pmpro("terminal", "run", *TUESDAY, script, *given)
    assert done.stdout.splitlines()[0].startswith(str(list(given))), done.stderr
    for words in (("terminal", "run", "--debug"), ("--debug", "terminal", "run")):
        assert "Traceback" in pmpro(*words, "--speed", "-1", script).stderr
    assert "Traceback" not in pmpro("terminal", "run", "--speed", "-1", script, "--debug").stderr


def test_an_account_and_its_broker_come_from_a_file(pmpro: Pmpro, script: Path, home: Path) -> None:
    """A kind nets or hedges; a TOML file says more, and its own login is checked."""
    done = pmpro("terminal", "run", "--account", "netting", *TUESDAY, script)
    assert done.stdout.splitlines()[2] == "[(1, 0.2)]"
    file = home / "broker.toml"
    file.write_text(
        '[account]\nlogin = 123\nserver = "Broker-Demo"\nfifo = true\n'
        "[broker]\nliquidity_lots = 0.05\nfilling_mode = 2\n"
    )
    refused = pmpro("terminal", "run", "--account", file, *TUESDAY, script)
    assert refused.stdout.splitlines()[1].startswith("10030 ")
    file.write_text("[account]\nlogin = 124\n")
    other = pmpro("terminal", "run", "--account", file, *TUESDAY, script)
    assert other.returncode == 1
    assert "-6" in other.stderr.splitlines()[-1]


def test_faults_come_from_a_file(pmpro: Pmpro, script: Path, home: Path) -> None:
    """A scripted fault strikes the program's call."""
    file = home / "faults.toml"
    file.write_text('[[fault]]\ncall = "order_send"\nkind = "error"\ncode = -10005\n')
    done = pmpro("terminal", "run", "--faults", file, *TUESDAY, script)
    assert done.stdout.splitlines()[1] == "None (-10005, 'IPC timeout')"


def test_a_program_that_fails_ends_as_python_ends_it(pmpro: Pmpro, home: Path) -> None:
    """Its traceback and 1, or the code that it leaves with."""
    for text, code, error in (
        ("import MetaTrader5\nraise RuntimeError('gave up')\n", 1, "RuntimeError: gave up"),
        ("import sys\nsys.exit(7)\n", 7, ""),
        ("import sys\nsys.exit('no prices')\n", 1, "no prices"),
    ):
        (home / "fails.py").write_text(text)
        done = pmpro("terminal", "run", "fails.py")
        assert done.returncode == code
        assert (done.stderr.splitlines() or [""])[-1] == error
        assert "pmpro_tui" not in done.stderr


def test_recorded_prices_are_what_the_program_sees(pmpro: Pmpro, home: Path) -> None:
    """With bar files the terminal has their symbols, their bars and their time."""
    rows = "".join(f"2026-01-13T08:{minute:02}:00Z,1.1,1.2,1.0,1.15\n" for minute in range(60))
    (home / "EURUSD_M1_2026_mine.csv").write_text("time,open,high,low,close\n" + rows)
    (home / "EURGBP_M1_2026_mine.csv").write_text("time,open,high,low,close\n" + rows)
    (home / "shows.py").write_text(
        "import MetaTrader5 as mt5\nmt5.initialize()\n"
        "print([s.name for s in mt5.symbols_get()], mt5.symbol_info_tick('EURUSD').bid)\n"
        "print(len(mt5.copy_rates_from_pos('EURUSD', mt5.TIMEFRAME_M1, 0, 99)))\n"
    )
    options = ("--data", home, "--speed", "0")
    done = pmpro("terminal", "run", *options, "--start", "2026-01-13T08:30", "shows.py")
    assert done.stdout == "['EURUSD'] 1.1\n31\n", done.stderr
    late = pmpro("terminal", "run", *options, "--start", "2027-01-13", "shows.py")
    assert late.returncode == 2
    assert "no symbol has M1 bars at 2027-01-13" in late.stderr


def test_what_cannot_be_run_is_one_line(pmpro: Pmpro, script: Path, home: Path) -> None:
    """No such program, account, file or key: one line that names it, and 2."""
    wrong = home / "wrong.toml"
    wrong.write_text("[accounts]\nlogin = 1\n")
    odd = home / "odd.toml"
    odd.write_text('[broker]\nexecution = "slow"\n')
    fault = home / "fault.toml"
    fault.write_text('[[fault]]\ncall = "order_send"\nkind = "gremlin"\n')
    for arguments, words in (
        (["nothing.py"], "nothing.py: no such program"),
        (["--account", "rich", script], "--account 'rich'"),
        (["--account", "absent.toml", script], "absent.toml: cannot be read: no such file"),
        (
            ["--account", wrong, script],
            "'accounts' is unknown, did you mean 'account'? allowed: account, broker",
        ),
        (["--account", odd, script], "execution"),
        (["--faults", fault, script], "gremlin"),
        (["--speed", "-1", script], "--speed"),
    ):
        done = pmpro("terminal", "run", *arguments)
        assert done.returncode == 2, arguments
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


INSTALLED = """
import importlib, importlib.metadata, importlib.util, pickle, sys
print(importlib.util.find_spec("MetaTrader5") is not None, "MetaTrader5" in sys.modules)
import MetaTrader5 as mt5
from MetaTrader5 import *
import MetaTrader5._core as core
from MetaTrader5._core import TradePosition
print(importlib.util.find_spec("MetaTrader5").name, mt5.__spec__.name, mt5.__package__)
print(importlib.metadata.version("MetaTrader5") == mt5.__version__ == "5.0.6231")
print(importlib.reload(mt5) is mt5, core.initialize is mt5.initialize is initialize)
for name in ("MetaTrader5", "MetaTrader5._core"):
    del sys.modules[name]
import MetaTrader5
print(MetaTrader5 is mt5, TradePosition is mt5.TradePosition, ORDER_TYPE_SELL)
print(account_info(), last_error(), initialize(), account_info().login, last_error())
print(pickle.loads(pickle.dumps(mt5.positions_total))())
print(shutdown(), account_info(), last_error())
"""


def test_the_module_is_found_as_an_installed_one(pmpro: Pmpro, home: Path) -> None:
    """A program may look for it, import it in every form, reload it, and ask for its version."""
    (home / "finds.py").write_text(INSTALLED, encoding="utf-8")
    done = pmpro("terminal", "run", home / "finds.py")
    no_link = "(-10004, 'No IPC connection')"
    assert done.stdout.splitlines() == [
        "True True",
        "MetaTrader5 MetaTrader5 MetaTrader5",
        "True",
        "True True",
        "True True 1",
        f"None {no_link} True 1000001 (1, 'Success')",
        "0",
        f"True None {no_link}",
    ], done.stderr


CHILDREN = """
import json, multiprocessing, os, subprocess, sys, threading
import MetaTrader5 as mt5

def child(symbol):
    import MetaTrader5 as m
    said = [m.initialize(), m.last_error(), m.Buy(symbol, 0.1), m.positions_total()]
    said += [m.last_error(), m.login(123), m.shutdown(), m.last_error(), m.ORDER_TYPE_SELL]
    return said

ASKS = "import json, MetaTrader5 as m; from MetaTrader5._core import Tick; "
ASKS += "print(json.dumps([m.initialize(), m.last_error(), m.order_send({}), m.last_error()]))"

if __name__ == "__main__":
    mt5.initialize()
    thread = threading.Thread(target=mt5.Buy, args=("EURUSD", 0.1))
    thread.start()
    thread.join()
    for how in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(how).Pool(2) as pool:
            print(json.dumps(pool.map(child, ["EURUSD", "GBPUSD"])))
    done = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True)
    print(done.stdout.strip(), done.stderr.strip())
    print(mt5.positions_total(), mt5.history_deals_total(1, 2_000_000_000), mt5.last_error())
"""


def test_a_program_s_children_have_no_terminal(pmpro: Pmpro, home: Path) -> None:
    """Forked, spawned or started: the module imports, `initialize` fails, nothing is traded.

    A copy of the terminal in each child would trade with the same tickets, unseen by the parent.
    """
    (home / "forks.py").write_text(CHILDREN, encoding="utf-8")
    done = pmpro("terminal", "run", *TUESDAY, home / "forks.py")
    *children, started, parent = done.stdout.splitlines()
    refused, unlinked = [-10003, "IPC initialize failed"], [-10004, "No IPC connection"]
    said = [False, refused, None, None, unlinked, False, True, [1, "Success"], 1]
    assert len(children) == 3, done.stderr
    assert [json.loads(line) for line in children] == [[said, said]] * 3
    assert json.loads(started) == [False, refused, None, unlinked]
    assert parent == "1 2 (1, 'Success')"  # its own position; its deal and the first balance


def test_a_program_may_be_given_as_text(pmpro: Pmpro) -> None:
    """`-c` runs a program as `python -c` does: its arguments, and its traceback, are its own."""
    code = "import MetaTrader5 as m, sys; print(sys.argv, m.initialize(), __name__)"
    done = pmpro("terminal", "run", "--seed", "3", "-c", code, "a", "--seed", "-b")
    assert (done.returncode, done.stdout.strip()) == (
        0,
        "['-c', 'a', '--seed', '-b'] True __main__",
    )
    failed = pmpro("terminal", "run", "-c", "def f(): 1/0\nf()")
    assert failed.returncode == 1
    assert failed.stderr.startswith('Traceback (most recent call last):\n  File "<string>", line 2')
    nothing = pmpro("terminal", "run")
    assert nothing.returncode == 2
    assert nothing.stderr == "pmpro: name a SCRIPT, or give the program itself with -c\n"
