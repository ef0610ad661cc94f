"""`pmpro compile`: fill the kernel cache, so that nothing compiles while it trades."""

import typer

from pmpro_tui.cli.output import Json, print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile")(compile_kernels)


def compile_kernels(json: Json = False) -> None:
    """Compile the kernels into the cache and print the cache's directory.

    Strategies are compiled in a process beside: the compiler uses one core.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from backtest.warm import warm_backtest
    from engine.model.compiled import cache_dir
    from engine.runtime.warm import STEPS, warm_strategies

    steps = [*STEPS, ("backtest", warm_backtest)]
    columns = (TextColumn("Compiling kernels"), BarColumn(30), MofNCompleteColumn())
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside,
        Progress(
            *columns,
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        task = progress.add_task("", total=len(steps) + 1)
        strategies = beside.submit(warm_strategies)
        for title, step in steps:
            progress.update(task, description=title)
            step()
            progress.advance(task)
        progress.update(task, description="strategies")
        strategies.result()
        progress.update(task, advance=1, description="")
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    if json:
        print_json({"cache": str(cache), "kernels": len(steps) + 1})
    else:
        print_line(str(cache))
