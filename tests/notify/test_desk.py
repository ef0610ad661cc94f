"""What becomes of alerts, on a clock of the test's."""

from itertools import pairwise

import pytest

from engine.model.errors import UserError
from engine.model.times import NS_PER_HOUR, NS_PER_MINUTE
from engine.notify.desk import KEPT, TRIES_MAX
from engine.notify.quiet import quiet_hours
from engine.notify.records import AlertRule
from engine.notify.views import SHOWN, seen
from tests.notify.bench import POLICY, DeskBench, channel

DIGEST_S = POLICY.digest_ns // 1_000_000_000
ESCALATE_S = POLICY.escalate_ns // 1_000_000_000
REPEAT_S = POLICY.repeat_ns // 1_000_000_000


def test_a_burst_is_one_message_with_counts() -> None:
    """However many events come at once, a channel gets one message that says how many."""
    bench = DeskBench()
    bench.event("error", "eur", "rejected 10006 at 1.1", n=40)
    bench.event("error", "gbp", "rejected 10006 at 1.3", n=2)
    bench.run(5)
    assert bench.sent == [(2, "mail", ["40 rejected 10006 at 1.1", "2 rejected 10006 at 1.3"])]


def test_messages_of_a_channel_keep_their_distance() -> None:
    """A storm of a minute is a few digests, and every event is counted in one of them."""
    bench = DeskBench()
    for second in range(60):
        bench.event("error", f"book-{second}", "rejected")
        bench.run(1)
    bench.run(DIGEST_S)
    times = [at_s for at_s, _, _ in bench.sent]
    assert all(later - earlier >= DIGEST_S for earlier, later in pairwise(times))
    assert sum(len(texts) for _, _, texts in bench.sent) == 60


def test_a_channel_has_one_message_on_its_way() -> None:
    """However long it takes; what comes meanwhile goes with the next one, counted once."""
    bench = DeskBench()
    bench.event("error", text="first")
    bench.now_ns += NS_PER_MINUTE
    (batch,) = bench.desk.turn()
    bench.event("error", text="first")
    bench.event("error", text="second")
    for _ in range(60):
        bench.now_ns += NS_PER_MINUTE
        assert bench.desk.turn() == []
        assert bench.desk.turn(hurry=True) == []
    bench.desk.done(batch.channel, ok=True, detail="E-Mail")
    bench.run(60)
    assert [texts for _, _, texts in bench.sent] == [["1 second"]]
    bench.run(REPEAT_S)
    assert [texts for _, _, texts in bench.sent] == [["1 second"], ["2 first"]]


def test_what_goes_on_is_told_again_with_its_count_but_not_each_time() -> None:
    """One alert while events of its kind keep coming; it goes again after the repeat time."""
    bench = DeskBench()
    for _ in range(2 * REPEAT_S):
        bench.event("error", text="disk full, 3 tries")
        bench.run(1)
    assert len(bench.views()) == 1
    assert bench.views()[0].n == 2 * REPEAT_S
    assert len(bench.sent) == 2
    assert bench.sent[1][0] - bench.sent[0][0] >= REPEAT_S


def test_what_comes_back_after_a_pause_is_a_new_alert() -> None:
    """An error of yesterday and one of today are two."""
    bench = DeskBench()
    bench.event("error")
    bench.run(REPEAT_S + 10)
    bench.event("error")
    bench.run(5)
    assert [view.n for view in bench.views()] == [1, 1]
    assert len(bench.sent) == 2


def test_a_failing_channel_is_tried_more_and_more_seldom_then_given_up() -> None:
    """Tries are bounded, their pauses double up to a quarter of an hour; the view says FAILED."""
    bench = DeskBench()
    bench.broken.add("mail")
    bench.event("error")
    tries_s = []
    for _ in range(8 * 3600):
        before = bench.desk.lines["mail"].backoff.n_failed
        bench.run(1)
        if bench.desk.lines["mail"].backoff.n_failed != before:
            tries_s.append(bench.at_s)
    pauses = [later - earlier for earlier, later in pairwise(tries_s)]
    assert len(tries_s) == TRIES_MAX
    assert pauses[:4] == [5, 10, 20, 40]
    assert max(pauses) == 900
    assert bench.views()[0].delivery == f"FAILED mail after {TRIES_MAX} tries: no"


def test_a_channel_that_fails_holds_up_no_other_and_recovers() -> None:
    """What waited for it goes out in one message when it works again."""
    bench = DeskBench(channel("mail"), channel("chat"))
    bench.broken.add("mail")
    bench.event("error", text="first")
    bench.run(30)
    bench.event("error", text="second")
    bench.run(30)
    assert bench.channels_sent() == ["chat", "chat"]
    assert bench.views()[0].delivery == "PENDING mail try 1: no; SENT chat"
    assert [c.n_waiting for c in seen(bench.desk, bench.now_ns, 0).channels] == [2, 0]
    bench.broken.clear()
    bench.run(60)
    assert bench.sent[-1][1:] == ("mail", ["1 first", "1 second"])
    assert bench.views()[0].delivery == "SENT mail, chat"


def test_quiet_hours_hold_all_but_criticals() -> None:
    """An error of the night waits for the morning; a critical one wakes people."""
    bench = DeskBench(channel("mail", quiet_hours("13:00-14:00", "Europe/Berlin")))
    bench.event("error", text="later")
    bench.event("critical", text="now")
    bench.run(60)
    assert [texts for _, _, texts in bench.sent] == [["1 now"]]
    held = next(view for view in bench.views() if view.level == "error")
    assert held.delivery == "HELD mail until 14:00 Europe/Berlin"
    bench.desk.ack("all", "ann", up_to=99)
    assert bench.sent[1:] == []


def test_what_was_held_goes_out_together_in_the_morning() -> None:
    """The end of the quiet hours is one digest, not a burst."""
    bench = DeskBench(channel("mail", quiet_hours("22:00-12:30", "UTC")))
    for number in range(5):
        bench.event("error", f"book-{number}")
        bench.run(60)
    bench.run(30 * 60)
    assert len(bench.sent) == 1
    assert bench.sent[0][0] == 30 * 60
    assert len(bench.sent[0][2]) == 5


def test_an_unacknowledged_critical_goes_again_and_further() -> None:
    """First to the rule's channels, then to those of its escalation too, a bounded number of times.

    Nobody reads the 97th e-mail.
    """
    rule = AlertRule(name="all", level="error", channels=("mail",), escalate=("phone",))
    bench = DeskBench(channel("mail"), channel("phone"), rules=[rule])
    bench.event("critical")
    bench.run(ESCALATE_S - 10)
    assert bench.channels_sent() == ["mail"]
    bench.run(20)
    assert bench.channels_sent() == ["mail", "mail", "phone"]
    bench.run(10 * ESCALATE_S)
    assert bench.channels_sent().count("phone") == POLICY.escalations
    assert bench.channels_sent().count("mail") == 1 + POLICY.escalations


def test_an_acknowledged_critical_is_left_alone() -> None:
    """Who and when are kept; it is not sent again, and the next of its kind is a new alert."""
    bench = DeskBench()
    bench.event("critical")
    bench.run(10)
    assert bench.desk.ack("1", "ann") == "acknowledged alert 1"
    bench.run(3 * ESCALATE_S)
    assert len(bench.sent) == 1
    view = bench.views()[0]
    assert (view.acked_by, view.acked_ns, view.delivery) == (
        "ann",
        bench.now_ns - 3 * ESCALATE_S * 1_000_000_000,
        "SENT mail",
    )
    bench.event("critical")
    bench.run(5)
    assert [v.id for v in bench.views()] == [2, 1]
    assert len(bench.sent) == 2


def test_an_alert_acknowledged_before_it_went_does_not_go() -> None:
    """Nor again where its message was on its way and failed; if that arrived, the view says so."""
    bench = DeskBench()
    bench.event("critical")
    bench.desk.ack("1", "ann")
    bench.run(10)
    assert bench.sent == []
    assert bench.views()[0].delivery == "NONE"
    bench.event("critical")
    bench.now_ns += NS_PER_MINUTE
    (batch,) = bench.desk.turn()
    bench.desk.ack("2", "ann")
    (kept,) = (alert for alert in bench.saved() if alert.id == 2)
    bench.desk.done(batch.channel, ok=False, detail="no")
    bench.run(60)
    assert bench.sent == []
    again = DeskBench(kept=[kept])
    again.run(60)
    assert again.sent == []

    bench.event("critical")
    bench.now_ns += NS_PER_MINUTE
    (batch,) = bench.desk.turn()
    bench.desk.ack("3", "ann")
    bench.desk.done(batch.channel, ok=True, detail="E-Mail")
    assert bench.views()[0].delivery == "SENT mail"


def test_acknowledging_says_what_it_hit_and_refuses_what_is_not_there() -> None:
    """No id, a second time, another word: one line. "all" takes no more than was on the screen."""
    bench = DeskBench()
    for number in range(4):
        bench.event("critical" if number % 2 else "error", f"book-{number}")
    assert bench.desk.ack("all", "ann", up_to=3) == "acknowledged 3 alert(s), 1 critical"
    assert seen(bench.desk, bench.now_ns, 0).n_unacked_critical == 1
    for target in ("9", "1", "eur", "", "-1", "²"):
        with pytest.raises(UserError):
            bench.desk.ack(target, "bob")
    assert bench.desk.ack("all", "bob") == "acknowledged 1 alert(s), 1 critical"
    assert bench.desk.ack("all", "bob") == "acknowledged 0 alert(s), 0 critical"


def test_a_restart_loses_nothing_and_sends_nothing_twice() -> None:
    """What got out stays out, what did not goes; tries and escalations go on where they were."""
    bench = DeskBench(channel("mail"), channel("chat"))
    bench.broken.add("chat")
    bench.event("critical")
    bench.run(100)
    tries = bench.desk.alerts[1].deliveries["chat"].tries
    again = DeskBench(channel("mail"), channel("chat"), kept=bench.saved())
    again.now_ns = bench.now_ns
    again.event("critical")
    again.event("error", text="new")
    assert [view.n for view in again.views()] == [1, 2]
    assert again.desk.alerts[1].deliveries["chat"].tries == tries > 1
    again.run(5)
    assert sorted(again.channels_sent()) == ["chat", "mail"]
    assert [texts for _, name, texts in again.sent if name == "mail"] == [["1 new"]]
    again.run(ESCALATE_S - 100)
    assert again.desk.alerts[1].escalations == 1


def test_a_channel_that_is_gone_is_forgotten_at_a_restart() -> None:
    """No alert waits for ever for a channel that is no longer configured."""
    bench = DeskBench(channel("old"))
    bench.broken.add("old")
    bench.event("error")
    bench.run(10)
    again = DeskBench(channel("new"), kept=bench.saved())
    again.run(100)
    assert again.sent == []
    assert again.views()[0].delivery == "NONE"


def test_alerts_are_bounded_and_criticals_kept_longest() -> None:
    """A million different errors push out errors, not what somebody must still acknowledge."""
    bench = DeskBench()
    bench.event("critical")
    for number in range(3 * KEPT):
        bench.event("error", f"book-{number}")
    assert len(bench.desk.alerts) <= KEPT + 100
    assert bench.desk.alerts[1].unacked_critical
    picture = seen(bench.desk, bench.now_ns, 0)
    assert len(picture.alerts) == SHOWN
    assert picture.n_unacked_critical == 1
    assert picture.n_lost == 3 * KEPT + 1 - len(bench.desk.alerts)
    saved, forgotten = bench.desk.take_changes()
    assert {alert.id for alert in saved} == bench.desk.alerts.keys()
    assert len(forgotten) == picture.n_lost
    bench.run(60)


def test_a_clock_that_is_set_back_stalls_nothing() -> None:
    """After a jump of a day the next alert goes out as soon as ever."""
    bench = DeskBench()
    bench.event("critical", text="first")
    bench.run(10)
    bench.event("error", "before", text="second")
    bench.now_ns -= 24 * NS_PER_HOUR
    bench.event("error", "after", text="third")
    bench.run(2 * DIGEST_S)
    sent = [text for _, _, texts in bench.sent for text in texts]
    assert {"1 second", "1 third"} <= set(sent)


def test_the_newest_stands_first() -> None:
    """By its latest event, whatever its id."""
    bench = DeskBench()
    bench.event("critical", "old")
    bench.event("critical", "new")
    bench.run(1)
    bench.event("critical", "old")
    assert [view.source for view in bench.views()] == ["old", "new"]
