"""What follows an answer: again only where nothing was taken, and never without end."""

from hypothesis import given
from hypothesis import strategies as st

from engine.execution.steps import ROUNDS_MAX, next_step
from engine.model.broker import OrderResult
from engine.model.orders import BECOMES, IntentState
from engine.terminal.retcodes import LAST_ERRORS, RETCODES, Action, classify

CODES = st.integers(9_990, 10_100)


@given(st.one_of(CODES, st.just(0)), st.integers(-10_010, 1), st.booleans(), st.integers(1, 10))
def test_nothing_is_sent_again_that_may_have_been_taken(
    code: int, error: int, closing: bool, n_sent: int
) -> None:
    """LATER and REFUSED need an answer whose class says that the broker did nothing."""
    verdict = classify(OrderResult(retcode=code, error=error))
    step = next_step(verdict, n_sent, closing=closing)
    if verdict.action in (Action.TAKEN, Action.UNKNOWN):
        gone = closing and verdict.name == "POSITION_CLOSED"
        assert step in ((Action.REFUSED,) if gone else (verdict.action,))
    if step is Action.LATER:
        assert n_sent < min(verdict.n_sends, ROUNDS_MAX)
    if code == 0 and error not in LAST_ERRORS:
        assert step is Action.UNKNOWN
    if code and code not in RETCODES:
        assert step is Action.UNKNOWN


def test_only_refusals_without_any_effect_are_sent_again() -> None:
    """These codes, and the pipe's "not connected", are all that MetaTrader lets us repeat."""
    again = {c for c, v in {**RETCODES, **LAST_ERRORS}.items() if v.n_sends > 1}
    assert again == {10004, 10015, 10020, 10021, 10024, 10029, 10030, -10004}


def test_what_was_settled_stays_settled() -> None:
    """No state leads back to one that is looked for; DONE leads nowhere else."""
    for state in (IntentState.DONE, IntentState.REJECTED, IntentState.NOT_SENT):
        assert BECOMES[state] == {IntentState.DONE}
    assert all(IntentState.CREATED not in ends for ends in BECOMES.values())
