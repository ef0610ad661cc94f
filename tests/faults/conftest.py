"""Fixtures of the fault tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.model.bars import Bars
from tests.faults.bench import Bench, portfolio


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Return a maker of benches; the first argument is each strategy's plan."""
    made: list[Bench] = []

    def make(
        plans: dict[str, str],
        bars: Bars | None = None,
        *,
        broker: dict[str, object] | None = None,
        account: dict[str, object] | None = None,
        **options: str,
    ) -> Bench:
        text = portfolio(plans, **options)
        made.append(Bench(tmp_path, text, bars, broker=broker or {}, account=account or {}))
        return made[-1]

    yield make
    for bench in made:
        bench.close()
