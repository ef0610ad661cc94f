"""What keeps entries out in a drawdown is said, and what ends it is a person's word or time."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.model.errors import Refused, UserError
from engine.views.parts import risk_view
from engine.views.snapshot import trading_state
from tests.faults.bench import BID, POINT, Bench, level_bars
from tests.faults.commanding import order
from tests.faults.test_controls import audited

Make = Callable[..., Bench]

TIER_2 = """[risk]
drawdown_reduce_frac = 0.0001
drawdown_stop_entries_frac = 0.0002
drawdown_flatten_frac = 0.5
"""


def stopped(make_bench: Make, extra: str = "") -> Bench:
    """Return a bench that lost more than 0.02 % and is flat: in tier 2 for good."""
    bars = level_bars()
    fallen = bars["time_ns"] >= bars["time_ns"][622]
    for field in ("open", "high", "low", "close"):
        bars[field][fallen] = np.round(BID - 100 * POINT, 5)
    bench = make_bench({"a": "LLF" + "L" * 22}, bars, extra=TIER_2 + extra)
    bench.step(6)
    assert bench.held == []
    assert bench.trader.core.account[0]["tier"] == 2
    return bench


def state(bench: Bench) -> tuple[str, str]:
    return trading_state(bench.trader.core, flattening=False, reason=bench.trader.reason)


def test_resume_does_not_say_that_entries_are_back_where_tier_two_keeps_them_out(
    make_bench: Make,
) -> None:
    """With nothing to lift it is refused, with tier, marks and what to do; nothing enters."""
    bench = stopped(make_bench)
    account = bench.trader.core.account[0]
    with pytest.raises(Refused, match="drawdown tier 2") as refused:
        order(bench, "resume")
    text = str(refused.value)
    for part in (
        f"equity {account['equity_ccy']:,.2f} USD",
        f"high-water mark {account['high_water_ccy']:,.2f}",
        f"{account['drawdown_frac']:.2%}",
        "resume --rebase",
    ):
        assert part in text
    assert "\n" not in text
    assert state(bench)[0] == "REDUCING"
    assert "resume --rebase" in state(bench)[1]
    bench.step(2)
    assert bench.held == []


def test_resume_lifts_a_halt_in_tier_two_and_says_what_is_left(make_bench: Make) -> None:
    """The halt is gone, the answer still says that nothing enters and why."""
    bench = stopped(make_bench)
    order(bench, "halt")
    text = order(bench, "resume").text
    assert "yet no entry: drawdown tier 2" in text
    assert "resumed" not in text
    assert state(bench)[0] == "REDUCING"


def test_rebase_trades_again_and_is_written_down_with_a_name(make_bench: Make) -> None:
    """Tier and drawdown are gone at once; event and audit have both marks and who did it."""
    bench = stopped(make_bench)
    before = float(bench.trader.core.account[0]["high_water_ccy"])
    equity = float(bench.trader.core.account[0]["equity_ccy"])
    text = order(bench, "resume", "rebase").text
    assert f"the high-water mark is {equity:,.2f} USD, it was {before:,.2f}" in text
    assert text.endswith("entries resumed")
    assert state(bench) == ("ACTIVE", "")
    assert bench.said("drawdown tier 0, by root", "warning")
    (row,) = [d for d in audited(bench, "RISK_CHECK") if "rebased" in d]
    assert (row["tier_before"], row["tier"]) == (2, 0)
    assert (row["high_water_before_ccy"], row["high_water_ccy"]) == (before, equity)
    bench.step()
    assert len(bench.held) == 1


def test_a_rebase_waits_until_equity_is_known(make_bench: Make) -> None:
    """No mark is set to what nobody knows, and it is said; another word is no rebase."""
    bench = stopped(make_bench)
    bench.trader.core.account["equity_ccy"] = np.nan
    with pytest.raises(Refused, match="no mark can be set: equity is unknown"):
        order(bench, "resume", "rebase")
    with pytest.raises(UserError, match="allowed: rebase"):
        order(bench, "resume", "rebate")


def test_the_whole_accounts_drawdown_is_no_silent_end_either(make_bench: Make) -> None:
    """What others lost keeps entries out: state and `resume` say so, and rebase ends it."""
    bench = make_bench({"a": "F" * 9})
    bench.step()
    bench.trader.core.account["external_ccy"] = -30_000.0
    bench.trader.core.account["account_drawdown_frac"] = 0.3
    assert state(bench)[0] == "REDUCING"
    assert "account drawdown 30.00% where 20.00% is the most" in state(bench)[1]
    with pytest.raises(Refused, match=r"account drawdown: 70,000\.00 USD, others' results"):
        order(bench, "resume")
    assert order(bench, "resume", "rebase").text.endswith("entries resumed")


def end_of_day(bench: Bench) -> None:
    """Have the server's day end at the next batch: its clock is a day behind by now."""
    bench.trader.core.account["server_day"] -= 1


def test_a_number_of_days_releases_live_with_an_event_and_an_audit_entry(make_bench: Make) -> None:
    """Flat in tier 2 for two whole days, over a crash: then it enters, critical and written."""
    bench = stopped(make_bench, "drawdown_release = 2\n")
    assert "released in 3 server day(s)" in state(bench)[1]
    for left in (2, 1):
        end_of_day(bench)
        bench.step()
        assert bench.held == []
        assert f"released in {left} server day(s)" in state(bench)[1]
        assert bench.crash() == []
    end_of_day(bench)
    bench.step()
    assert len(bench.held) == 1
    assert bench.said("drawdown released after 2 server day(s) flat in tier 2", "critical")
    (row,) = [d for d in audited(bench, "RISK_CHECK") if "drawdown_release" in d]
    assert row["high_water_ccy"] == bench.trader.core.account[0]["high_water_ccy"]
    assert row["high_water_before_ccy"] > row["high_water_ccy"]
    assert risk_view(bench.trader).tier == 0
