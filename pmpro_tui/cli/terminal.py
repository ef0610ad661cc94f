"""`pmpro terminal`: the trading terminal, and what stands in for it."""

import typer

from pmpro_tui.cli import terminal_run

app = typer.Typer(no_args_is_help=True)
for module in (terminal_run,):
    module.register(app)


@app.callback()
def _terminal() -> None:
    """Keep `run` a command of its own while it is the only one."""
