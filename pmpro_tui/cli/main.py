"""`pmpro`: one-shot commands. Heavy packages are imported by the command that needs them.

Exit code 0 ok, 1 failed, 2 wrong use, 3 refused by a rule or a role, 130 interrupted. An error is
one line on stderr.
"""

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from engine.child.log import errors_to_stderr
from pmpro_tui.cli import compile as compile_command
from pmpro_tui.cli import engine as operate
from pmpro_tui.cli import init, web
from pmpro_tui.cli.app import App
from pmpro_tui.cli.doctor import command as doctor
from pmpro_tui.cli.doctor.surroundings import settle
from pmpro_tui.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, exit_code, one_line

DISTRIBUTION = "portfolio-manager-pro"
# Imported when named on the command line; in the overview their help stands for them.
LAZY = {
    "backtest": ("pmpro_tui.cli.backtest.run", "Test portfolios on past bars."),
    "bench": ("pmpro_tui.bench.main", "Measure the speed of this machine."),
    "strategy": ("pmpro_tui.cli.strategy.change", "Add, remove, write and check strategies."),
    "data": ("pmpro_tui.cli.data", "Write files of bars."),
    "replay": ("pmpro_tui.cli.backtest.replay", "Run past bars through the whole live path."),
    "terminal": (
        "pmpro_tui.cli.terminal.commands",
        "Check or serve the terminal; run programs on a simulated terminal.",
    ),
    "alert": ("pmpro_tui.cli.alert", "List, acknowledge and test alerts."),
    "db": ("pmpro_tui.cli.db", "Set up the database and show its state."),
    "audit": ("pmpro_tui.cli.audit", "Read and verify the audit trail."),
    "token": ("pmpro_tui.cli.token", "Manage personal tokens of people who share one login."),
}


def main() -> None:
    """Run the command line and exit; the border of every error."""
    settle()
    arguments = sys.argv[1:]
    errors_to_stderr()
    ours, commands = split_at_script(arguments)
    wanted = {"debug": "--debug" in ours}
    try:
        code = build_app(arguments)(
            [*(a for a in ours if a != "--debug"), *commands],
            prog_name="pmpro",
            standalone_mode=False,
            obj=wanted,
        )
        sys.stdout.flush()
    except BrokenPipeError:  # who read the answer has what it wanted: `| head -1`
        _give_up_stdout()
        sys.exit(EXIT_FAILED)
    except Exception as error:  # border: every failure becomes a line and an exit code
        if wanted["debug"]:
            raise
        if str(error):  # without arguments the help was shown and says it all
            sys.stderr.write(f"pmpro: {one_line(error)}\n")
        _give_up_stdout()
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.stderr.write("pmpro: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _give_up_stdout() -> None:
    """Leave nothing that the interpreter fails to write at its end, with a code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def split_at_script(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return where `--debug` may stand anywhere, and what `terminal run` reads for itself.

    What comes after its script is the script's, whatever it is called.
    """
    if [a for a in arguments if a != "--debug"][:2] != ["terminal", "run"]:
        return arguments, []
    after = arguments.index("run") + 1
    return arguments[:after], arguments[after:]


def build_app(arguments: list[str]) -> typer.Typer:
    """Return the application, with the lazy commands among `arguments` in full."""
    app = App(
        help="Portfolio Manager Pro: one-shot commands. The console is `pmpro-tui`.",
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_global_options)
    for module in (init, doctor, operate, compile_command, web):
        module.register(app)
    for name, (path, summary) in LAZY.items():
        if name not in arguments:
            app.command(name, help=summary)(_not_loaded)
            continue
        module = import_module(path)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=summary)
        else:
            app.command(name)(getattr(module, name))
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"pmpro {version(DISTRIBUTION)}\n")
        raise typer.Exit


def _global_options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    pass


def _not_loaded() -> None:
    raise AssertionError("a lazy command ran unloaded")


if __name__ == "__main__":
    main()
