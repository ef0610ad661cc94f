"""The engine's child for a backtest that a console launched.

It runs below everything else on the box, and tells its progress as parts of its reply.
"""

import os
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.child.serve import serve
from engine.hosts.bounds import bound_strategies
from engine.kernels.cache import KERNEL_DIR
from engine.model.errors import PmproError, StoreError
from engine.runtime.jobs import BacktestRequest, JobProgress

if TYPE_CHECKING:
    from backtest.run import Report

NICENESS = 15


def main() -> None:
    """Answer the engine until it goes."""
    data, *hidden = map(Path, sys.argv[1:])
    begin(hidden, [data])
    serve(handle)


def begin(hidden: Iterable[Path], readable: Iterable[Path] = ()) -> None:
    """Give way to everything else, and bound this process: it runs strategies' code.

    The database is reached by a socket; compiled code of pmpro's is kept.
    """
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    KERNEL_DIR.mkdir(parents=True, exist_ok=True)
    bound_strategies([KERNEL_DIR], hidden, readable=readable, sockets=True)


def handle(body: bytes) -> Iterator[bytes]:
    """Run one backtest; yields `JobProgress` as JSON."""
    request = msgspec.json.decode(body, type=BacktestRequest)
    told: queue.SimpleQueue[JobProgress | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            told.put(_run(request, told))
        except Exception as error:  # border: thread
            told.put(error)

    threading.Thread(target=work, name="backtest", daemon=True).start()
    while True:
        said = told.get()
        if isinstance(said, PmproError):
            raise JobFailed(str(said)) from said
        if isinstance(said, Exception):
            raise said
        yield msgspec.json.encode(said)
        if said.text:
            return


class JobFailed(Exception):
    """What the operator is told."""


def _run(
    request: BacktestRequest, told: "queue.SimpleQueue[JobProgress | Exception]"
) -> JobProgress:
    from backtest.run import run_portfolio
    from backtest.variant import varied
    from pmpro_tui.cli.backtest.options import parse_time
    from strategies.loader import OwnFiles

    spec = request.spec
    report = run_portfolio(
        varied(request.portfolio, spec.variant),
        Path(request.data),
        parse_time("from", spec.from_day),
        parse_time("to", spec.to_day),
        source=spec.source or None,
        name=Path(spec.portfolio).stem or "running",
        files=OwnFiles(request.files, request.strategies),
        progress=lambda frac: told.put(JobProgress(progress_frac=min(frac, 1.0))),
    )
    result_id, remark = _store(report, request.database)
    figures = report.document["summary"]
    stop = f"{figures['no_entry']}; " if figures["no_entry"] else ""
    return JobProgress(
        progress_frac=1.0,
        text=f"{stop}{figures['total_return_frac']:+z.2%}, "
        f"drawdown {figures['max_drawdown_frac']:.2%}, "
        f"{report.document['trades_count']} trades{remark}",
        result_id=result_id,
    )


def _store(report: "Report", url: str) -> tuple[int, str]:
    """Store the result; return its id, or why it is not stored."""
    from backtest.results import store
    from engine.store.connection import connect

    if not url:
        return 0, "; not stored: the database is away"
    try:
        engine = connect(url)
    except StoreError as error:
        return 0, f"; not stored: {error}"
    try:
        return store(engine, report), ""
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
    sys.exit(0)
