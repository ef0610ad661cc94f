"""`pmpro terminal`: the trading terminal, and what stands in for it."""

from pmpro_tui.cli.app import App
from pmpro_tui.cli.terminal import run as terminal_run
from pmpro_tui.cli.terminal.check import check
from pmpro_tui.cli.terminal.serve import serve

app = App()


@app.callback()
def terminal() -> None:
    """Check the terminal, serve it to another box, or run programs on a simulated one."""


terminal_run.register(app)
app.command("check")(check)
app.command("serve")(serve)
