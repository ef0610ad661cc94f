"""`pmpro compile`: fill the kernel cache, so that nothing compiles while it trades."""

import os

import typer

from pmpro_tui.cli.output import Json, print_json, print_line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile")(compile_kernels)


def compile_kernels(json: Json = False) -> None:
    """Compile the kernels into the cache and print the cache's directory.

    Signals and strategies are compiled in a process beside: the compiler uses one core.
    """
    import gc
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from backtest.warm import warm_backtest, warm_signals
    from engine.kernels.cache import cache_dir
    from engine.replay.warm import STEPS, warm_strategies

    # The last one finds its signals in the cache.
    steps = [*STEPS, ("backtest", warm_backtest)]
    beside_steps = [("signals", warm_signals), ("strategies", warm_strategies)]
    columns = (TextColumn("Compiling kernels"), BarColumn(30), MofNCompleteColumn())
    gc.disable()  # a compiler makes few things that it could free
    os.chdir(cache_dir().anchor)  # a process cannot be started where the directory was deleted
    with (
        ProcessPoolExecutor(1, get_context("spawn"), gc.disable) as beside,
        Progress(
            *columns,
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        task = progress.add_task("", total=len(steps) + len(beside_steps))
        results = [(title, beside.submit(step)) for title, step in beside_steps]
        for title, step in steps:
            progress.update(task, description=title)
            step()
            progress.advance(task)
        for title, result in results:
            progress.update(task, description=title)
            result.result()
            progress.advance(task)
        progress.update(task, description="")
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    if json:
        print_json({"cache": str(cache), "kernels": progress.tasks[0].completed})
    else:
        print_line(str(cache))
