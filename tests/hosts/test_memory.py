"""A strategy host's garbage waits for the end of a batch, and not for longer."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from engine.hosts.memory import OLD_GARBAGE_BATCHES, Garbage


class Ring:
    """Refers to itself: nothing but the collector takes it away."""

    def __init__(self) -> None:
        self.next = self


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    """The collector as in a strategy host."""
    yield Garbage()
    gc.enable()
    gc.unfreeze()


def test_garbage_is_collected_after_a_batch_and_never_in_it(garbage: Garbage) -> None:
    """However much a strategy makes, its batch is not interrupted; then all of it goes."""
    first = weakref.ref(Ring())
    rings = [Ring() for _ in range(50_000)]
    del rings
    assert first() is not None
    garbage.collect(of_a_batch=True)
    assert first() is None


@pytest.mark.parametrize("loads", [False, True])
def test_what_lived_long_goes_too(garbage: Garbage, loads: bool) -> None:
    """What a strategy gives up after hours is collected within some batches, or at a reload."""
    ring = Ring()
    old = weakref.ref(ring)
    for _ in range(5):
        garbage.collect(of_a_batch=True)
    del ring
    for _ in range(1 if loads else OLD_GARBAGE_BATCHES):
        garbage.collect(of_a_batch=not loads)
    assert old() is None
