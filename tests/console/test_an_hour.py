"""A console that is left running: an hour of updates at four a second."""

import gc
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engine.model.times import NS_PER_S
from engine.model.views.snapshot import EventView
from pmpro_tui.bench.scripted_snapshots import ScriptedSnapshots
from pmpro_tui.console.messages import Fetched
from tests.console.scripted import Clock, ScriptedFeed, console, drive

_N_UPDATES = 4 * 3600
_SCREENS = "1234567"


def _updates(clock: Clock) -> Iterator[Fetched]:
    """Yield pictures of 200 strategies of which a third moves each time, and an event now and
    then."""
    picture = ScriptedSnapshots(random.Random(3))
    for n in range(_N_UPDATES):
        clock.now += NS_PER_S // 4
        picture.step(0.3)
        events: tuple[EventView, ...] = ()
        if n % 4 == 0:
            one = EventView(seq=n, time_ns=clock.now, level="info", source="eur", text=f"event {n}")
            events = (one,)
        yield Fetched(msgspec.structs.replace(picture.snapshot, taken_ns=clock.now, events=events))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_memory_is_flat_over_an_hour_of_updates() -> None:
    """What an hour holds at its end it held after a quarter of it, all screens in turns."""
    clock = Clock()
    app = console(ScriptedFeed(clock))
    held: list[int] = []

    async def script(pilot: Any) -> None:
        tracemalloc.start()
        for n, update in enumerate(_updates(clock)):
            if n % 240 == 0:
                await pilot.press(_SCREENS[n // 240 % len(_SCREENS)])
            app.main.post_message(update)
            await pilot.pause()
            if (n + 1) % (_N_UPDATES // 4) == 0:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()

    drive(app, script)
    assert held[-1] - held[0] < 1_000_000, [f"{size / 1e6:.2f} MB" for size in held]
