"""The engine's child that compares live with a backtest of the same hours; below all else."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.child.serve import serve
from engine.model.errors import PmproError, StoreError
from engine.model.live_day import ParityRequest
from engine.model.parity import ParityScore
from engine.runtime.parity import ParityNotice
from pmpro_tui.jobs.backtest import JobFailed, begin

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from engine.model.live_day import LiveDay

MOVED_WAIT_S = 120.0
_LOOK_S = 1.0
_NAMED = 3


def main() -> None:
    """Answer the engine until it goes."""
    bars, *hidden = map(Path, sys.argv[1:])
    begin(hidden, [bars])
    serve(handle)


def handle(body: bytes) -> bytes:
    """Judge some hours, store the scores, and return what to tell."""
    request = msgspec.msgpack.decode(body, type=ParityRequest)
    try:
        return msgspec.msgpack.encode(told(judged(request)))
    except PmproError as error:
        raise JobFailed(str(error)) from error


def judged(request: ParityRequest) -> list[ParityScore]:
    """Compare and store.

    Raises:
        PmproError: there are no bars, a strategy cannot be made, or the database is away.
    """
    import numpy as np
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import Session

    from backtest.parity import go_on, refusal_at, scores
    from engine.model.bars import BAR_DTYPE
    from engine.store.connection import connect, first_line
    from engine.store.parity import save_scores
    from strategies.loader import OwnFiles, load_needed

    load_needed(OwnFiles(request.start.files), request.start.portfolio.strategy)
    bars = {name: np.fromfile(path, BAR_DTYPE) for name, path in request.bars.items()}
    result = go_on(request.start, bars, request.to_ns)
    engine = connect(request.database)
    try:
        day = _live_day(engine, request.start.from_ns, request.to_ns)
        day = msgspec.structs.replace(day, refused=request.refused)
        found = scores(result, day, bars, partial(refusal_at, request.start, bars, request.to_ns))
        with Session(engine) as session, session.begin():
            save_scores(session, found)
    except SQLAlchemyError as error:
        raise StoreError(first_line(error)) from None
    finally:
        engine.dispose()
    return found


def _live_day(engine: "Engine", from_ns: int, to_ns: int) -> "LiveDay":
    """Return what live did, once all of it is in the database."""
    from sqlalchemy.orm import Session

    from engine.store.parity import live_day, moved_until_ns

    until_s = time.monotonic() + MOVED_WAIT_S
    while True:
        with Session(engine) as session:
            if moved_until_ns(session) >= to_ns:
                return live_day(session, from_ns, to_ns)
        if time.monotonic() > until_s:
            raise StoreError(f"the database is more than {MOVED_WAIT_S:g} s behind the engine")
        time.sleep(_LOOK_S)


def told(scores: list[ParityScore]) -> ParityNotice:
    """Return the outcome in words: a warning where a gap is not explained."""
    traded = [s for s in scores if s.n_trades]
    apart = [s for s in traded if s.gaps]
    odd = [s.strategy for s in apart if not all(gap.explained for gap in s.gaps)]
    text = f"{len(traded) - len(apart)} of {len(traded)} strategies traded as their backtest"
    if not apart:
        return ParityNotice(level="info", text=text)
    if not odd:
        return ParityNotice(level="info", text=f"{text}; every gap is explained")
    names = ", ".join(odd[:_NAMED]) + (" …" if len(odd) > _NAMED else "")
    return ParityNotice(
        level="warning",
        text=f"{text}; not explained: {names} (`pmpro strategy parity {odd[0]}`)",
    )


if __name__ == "__main__":
    main()
    sys.exit(0)
