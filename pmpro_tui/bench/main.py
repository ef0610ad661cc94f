"""`pmpro bench`: how long a backtest, an order and a call take on this machine."""

from pmpro_tui.bench.backtest import backtest
from pmpro_tui.bench.console import console
from pmpro_tui.bench.journal import journal
from pmpro_tui.bench.latency import latency
from pmpro_tui.bench.stress import stress
from pmpro_tui.bench.terminal import terminal
from pmpro_tui.cli.app import App

app = App()


@app.callback()
def bench() -> None:
    """Measure the speed of this machine."""


app.command("backtest")(backtest)
app.command("console")(console)
app.command("journal")(journal)
app.command("latency")(latency)
app.command("stress")(stress)
app.command("terminal")(terminal)
