"""`pmpro terminal run`: a program written for MetaTrader 5, on the simulated terminal."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from engine.model.errors import UserError
from pmpro_tui.cli.backtest.options import Source, parse_time

Script = Annotated[
    str, typer.Argument(metavar="SCRIPT", help="A Python program that imports MetaTrader5.")
]
Code = Annotated[
    str | None,
    typer.Option("-c", metavar="CODE", help="Run this text instead of SCRIPT."),
]
Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="ARGUMENTS", help="Arguments of the program.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Directory of bar files. Default: generated prices."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the generated prices.")]
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="D", help="The terminal's first moment, UTC. Default: now."),
]
Speed = Annotated[float, typer.Option("--speed", help="Simulated seconds per second.")]
AccountName = Annotated[
    str,
    typer.Option(
        "--account",
        metavar="KIND|FILE",
        help="hedging, netting, exchange, fifo, or a TOML file of account and broker.",
    ),
]
FaultsFile = Annotated[
    Path | None,
    typer.Option("--faults", metavar="FILE", help="A TOML file of faults and switches."),
]


def _debug(context: typer.Context, wanted: bool) -> None:
    if wanted:
        context.obj["debug"] = True


Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", callback=_debug)]


def register(app: typer.Typer) -> None:
    """Add the command; options come before the script, all after it is the script's."""
    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}
    app.command("run", context_settings=settings)(run)


def run(
    script: Script = "",
    arguments: Arguments = None,
    code: Code = None,
    data: DataDir = None,
    source: Source = None,
    seed: Seed = 1,
    start: Start = None,
    speed: Speed = 1.0,
    account: AccountName = "hedging",
    faults: FaultsFile = None,
    _debug: Debug = False,
) -> None:
    """Run a program on a simulated MetaTrader 5, which its `import MetaTrader5` gets."""
    given = arguments or []
    if code is not None:
        given = [script, *given] if script else given
    elif not script:
        raise UserError("name a SCRIPT, or give the program itself with -c")
    elif not Path(script).is_file():
        raise UserError(f"{script}: no such program")
    if not 0.0 <= speed <= 1e6:
        raise UserError(f"--speed {speed} is not between 0 and 1000000")
    start_ns = None if start is None else parse_time("--start", start)
    from engine.terminal.simulated.module.module import as_module
    from engine.terminal.simulated.module.script import run_code, run_script
    from pmpro_tui.cli.terminal import world

    settings = world.conditions(account)
    if data is None:
        from_ns = time.time_ns() if start_ns is None else start_ns
        terminal = world.generated(settings, seed, from_ns, speed)
    else:
        terminal = world.recorded(settings, data, source, start_ns, speed)
    if faults is not None:
        world.script_faults(terminal, faults)
    try:
        module = as_module(terminal)
        if code is not None:
            ended = run_code(code, given, module)
        else:
            ended = run_script(Path(script), given, module)
    finally:
        sys.stdout.flush()
        terminal.close()
    raise typer.Exit(ended)
