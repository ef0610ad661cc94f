"""The campaign: nothing goes wrong under random faults and kills, and its check sees what would."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.faults.campaign.nursery import Nursery
from tests.faults.campaign.plan import Action, Kill, Plan, Trouble, draw
from tests.faults.campaign.run import Database, Result, run

Carry = Callable[..., Result]
# Positions come and go at nearly every batch.
BUSY = """[account]
margin_mode = "hedging"
[risk]
drawdown_stop_entries_frac = 0.5
drawdown_flatten_frac = 0.9
daily_loss_max_frac = 0.9
spread_max_factor = 1e6
collar_spreads = 1e6
repeated_max = 1e6
""" + "".join(
    f"""
[[strategy]]
name = "{symbol}-{number}"
kind = "noise"
symbol = "{symbol}"
params = {{ seed = {number}, lasts = {2 + number}, stop_points = 300 }}
sizing = {{ method = "fixed_lots", lots = 0.1 }}
"""
    for symbol in ("EURUSD", "USDJPY")
    for number in (1, 2, 3)
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A short directory that the database's account can reach."""
    path = Path(tempfile.mkdtemp(prefix="pmf-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def carry(place: Path) -> Iterator[Carry]:
    """Return what carries out a plan."""
    nursery, database = Nursery(place / "nursery.log"), Database(place)

    def carry(plan: Plan, broken: str = "") -> Result:
        home = Path(tempfile.mkdtemp(dir=place))
        return run(plan, database, nursery, home, broken=broken)

    yield carry
    nursery.close()
    database.close()


def planned(*actions: Action) -> Plan:
    """Return a busy run in which this alone goes wrong."""
    plan = draw(1)
    return msgspec.structs.replace(plan, portfolio=BUSY, keep_frac=0.95, actions=list(actions))


def trouble(text: str, batch: int = 8) -> Trouble:
    """Return a fault."""
    return Trouble(batch=batch, name=text, text=text)


KILLED_INSIDE = (
    trouble("hang=0.5"),
    Kill(batch=8, target="engine", point="sending", nth=1),
)


@pytest.mark.timeout(600)
def test_six_random_runs(carry: Carry) -> None:
    """Whatever is drawn: no order twice or lost, no position unowned or bare, all books agree."""
    for number in range(1, 7):
        assert carry(draw(number)).violations == [], f"make faults N=1 SEED={number}"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_sixty_random_runs(carry: Carry) -> None:
    """The same, more often."""
    for number in range(101, 161):
        assert carry(draw(number)).violations == [], f"make faults N=1 SEED={number}"


@pytest.mark.timeout(300)
def test_an_engine_killed_while_its_host_sends_finds_the_order(carry: Carry) -> None:
    """The order is executed after the kill; the next engine, at once, waits, finds it, owns it."""
    result = carry(planned(*KILLED_INSIDE))

    assert result.violations == []
    assert (result.counts["kill engine"], result.counts["at sending"]) == (1, 1)
    assert result.counts["hang"] == 1
    assert result.n_orders > 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("broken", "actions", "said"),
    [
        ("journal after send", KILLED_INSIDE, "has no intent"),
        ("retry on timeout", [trouble("lost-reply*4")], "duplicate order"),
        ("none is flat", [trouble("failed*12@positions_get")], "in doubt"),
    ],
)
def test_a_broken_build_is_caught(
    carry: Carry, broken: str, actions: list[Action], said: str
) -> None:
    """What the build as it is survives is a violation once the engine is broken that way."""
    assert carry(planned(*actions)).violations == []
    assert any(said in violation for violation in carry(planned(*actions), broken).violations)
