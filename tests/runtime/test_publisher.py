"""What a client is shown before the first batch: no state that says more than is known."""

from typing import Literal

import pytest

from engine.settings.settings import load_settings
from engine.trading.events import EventLog
from engine.views.snapshot import Publisher


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("HALTED", "STARTING"),
        ("ACTIVE", "STARTING"),
        ("REDUCING", "STARTING"),
        ("STOPPING", "STOPPING"),
    ],
)
def test_nobody_is_told_of_no_positions_before_they_are_known(
    state: Literal["HALTED", "ACTIVE", "REDUCING", "STOPPING"], shown: str
) -> None:
    """Until the first picture of the trader the state is STARTING: HALTED without a position in
    the list would tell an operator that a flatten is done."""
    publisher = Publisher(load_settings(mode="demo"), EventLog(lambda: 0))
    publisher.state = state
    assert publisher.snapshot.state == shown
    assert publisher.snapshot.positions == ()
