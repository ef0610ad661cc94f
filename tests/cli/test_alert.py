"""`pmpro alert`: what is shown, what reaches the engine."""

import json

import pytest

from engine.model.snapshot import AlertView, ChannelView
from tests.cli.conftest import Pmpro
from tests.cli.test_operate import AnsweringEngine, engine, sent
from tests.control.control_engine import START_NS, make_snapshot

__all__ = ["engine"]

OPEN = AlertView(
    id=8,
    time_ns=START_NS,
    level="critical",
    source="reconcile",
    text="position 7 is not at the terminal",
    n=3,
    delivery="HELD until 07:00",
)
CLOSED = AlertView(
    id=7, time_ns=START_NS, level="error", source="ma", text="bad", acked_by="ann", acked_ns=1
)


def test_alerts_are_listed_for_people_and_machines(engine: AnsweringEngine, pmpro: Pmpro) -> None:
    """The list says what it was, how often, whether it got out, and who has seen it."""
    engine.current = make_snapshot(
        2,
        alerts=(OPEN, CLOSED),
        n_unacked_critical=1,
        channels=(ChannelView(name="mail", state="FAILING", detail="refused"),),
    )
    document = json.loads(pmpro("alert", "list", "--json").stdout)
    assert [alert["id"] for alert in document["alerts"]] == [8, 7]
    assert document["n_unacked_critical"] == 1
    text = pmpro("alert", "list").stdout
    for part in ("critical", "reconcile", "HELD until", "ann", "FAILING", "refused"):
        assert part in text
    assert len(json.loads(pmpro("alert", "list", "-n", "1", "--json").stdout)["alerts"]) == 1


@pytest.mark.parametrize("target", ["8", "all"])
def test_an_acknowledgement_reaches_the_engine(
    target: str, engine: AnsweringEngine, pmpro: Pmpro
) -> None:
    """It asks nothing, and names what was meant."""
    done = pmpro("alert", "ack", target, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"ok": True, "text": "done"})
    assert sent(engine) == [("ack", target)]
