"""`pmpro compile`: fill the kernel cache, so that nothing compiles while it trades."""

import typer

from pmpro_tui.cli.output import Json, print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile")(compile_kernels)


def compile_kernels(json: Json = False) -> None:
    """Compile the kernels into the cache and print the cache's directory."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from backtest.warm import warm_backtest
    from engine.model.compiled import cache_dir
    from engine.runtime.warm import STEPS

    steps = [*STEPS, ("backtest", warm_backtest)]
    columns = (TextColumn("Compiling kernels"), BarColumn(30), MofNCompleteColumn())
    with Progress(
        *columns,
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task("", total=len(steps))
        for title, step in steps:
            progress.update(task, description=title)
            step()
            progress.advance(task)
        progress.update(task, description="")
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    if json:
        print_json({"cache": str(cache), "kernels": len(steps)})
    else:
        print_line(str(cache))
