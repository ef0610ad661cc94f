"""`pmpro bench journal`: how long the commits take that stand between a decision and its order."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.files.places import absolute
from pmpro_tui.bench.children import percentile
from pmpro_tui.cli.output import Json

if TYPE_CHECKING:
    from engine.model.orders import Intent

LIMITS: dict[str, tuple[str, float]] = {"journal_commit_p99_ms": ("<=", 5.0)}
_WARM_UP_COMMITS = 50
# What a hundred strategies save after a batch.
_CORE_BYTES = 150_000
# Batches come a minute apart; the disk has nothing else to do meanwhile.
_PAUSE_S = 0.005


def journal(
    commits: Annotated[int, typer.Option(min=20, help="Number of orders.")] = 1000,
    at: Annotated[
        Path | None,
        typer.Option(help="Directory on the disk to measure; a new one is created in it."),
    ] = None,
    json: Json = False,
) -> None:
    """Time a batch's durable commits: intents before they are sent, state afterwards."""
    from pmpro_tui.bench.report import report

    report("journal", figures_of(*commit_times_ms(commits, at)), LIMITS, json=json)


def figures_of(intents_ms: list[float], states_ms: list[float]) -> dict[str, float]:
    """Return the figures of commits of intents, and of those of outcomes with the core's state."""
    return {
        f"{name}_p{percent}_ms": percentile(times_ms, percent)
        for name, times_ms in (("journal_commit", intents_ms), ("journal_state", states_ms))
        for percent in (50, 99)
    }


def commit_times_ms(n_commits: int, at: Path | None = None) -> tuple[list[float], list[float]]:
    """Return how long each commit of an intent took, and each of its outcome with the state."""
    from engine.execution.journal import CoreState, Journal
    from engine.model.orders import IntentState, Outcome

    intents_ms, states_ms = [], []
    with tempfile.TemporaryDirectory(prefix="pmpro-bench-", dir=at or absolute(Path())) as home:
        file = Journal(Path(home) / "journal.sqlite")
        try:
            for number in range(1, _WARM_UP_COMMITS + n_commits + 1):
                time.sleep(_PAUSE_S)
                intent = _intent(number)
                outcome = Outcome(intent_id=number, state=IntentState.DONE, deal=number)
                core = CoreState(number, bytes(_CORE_BYTES))
                began_s = time.perf_counter()
                file.commit(intents=[intent])
                sent_s = time.perf_counter()
                file.commit(outcomes=[outcome], core=core)
                settled_s = time.perf_counter()
                file.tidy()
                if number > _WARM_UP_COMMITS:
                    intents_ms.append(1000.0 * (sent_s - began_s))
                    states_ms.append(1000.0 * (settled_s - sent_s))
        finally:
            file.close()
    return intents_ms, states_ms


def _intent(number: int) -> "Intent":
    from engine.model.orders import Intent, magic_of

    return Intent(
        id=number,
        magic=magic_of(1, number),
        book="bench",
        slot=0,
        symbol="EURUSD",
        action="OPEN",
        direction=1,
        lots=0.1,
        price=1.1,
        stop=1.09,
        target=1.12,
        position=0,
        reason=0,
        created_ns=number,
        batch_ns=number,
        shares={"bench": 1.0},
    )
