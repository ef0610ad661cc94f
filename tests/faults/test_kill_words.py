"""What a kill or a disable says of each position is what then happens to it."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from engine.execution.journal import Outbox
from engine.model.errors import UserError
from engine.model.reasons import ExitReason
from engine.model.records import AuditRow
from engine.model.views.snapshot import PositionFate, Reply
from engine.views.parts import strategy_views
from tests.faults.bench import SIZING, Bench
from tests.faults.commanding import order

Make = Callable[..., Bench]
WEIGHTED = 'combine = "weighted"\nenter = 0.35\nexit = 0.1'
VOTE = 'combine = "vote"'
NOT_CARRIED = "two other members vote, whose net of +0 does not carry it"


def book(name: str, members: dict[str, float], how: str = VOTE) -> str:
    """Return a [[book]] of a portfolio file."""
    table = ", ".join(f"{member} = {share}" for member, share in members.items())
    return f'[[book]]\nname = "{name}"\nmembers = {{ {table} }}\n{how}\n{SIZING}\n'


def held(bench: Bench) -> set[int]:
    """Return the tickets that the broker holds."""
    return {int(position.identifier) for position in bench.held}


def result_of(bench: Bench) -> dict[str, Any]:
    """Return the details of the newest audited command."""
    outbox = Outbox(bench.journal.path)
    rows = [entry.record for entry in outbox.entries(0, 100_000)]
    outbox.close()
    return [r.details for r in rows if isinstance(r, AuditRow) and r.event_type == "COMMAND"][-1]


def only(reply: Reply) -> PositionFate:
    """Return the one position that a command concerns."""
    (fate,) = reply.positions
    return fate


def test_a_strategy_alone_in_its_book_closes(make_bench: Make) -> None:
    """The book of one has its name: it closes, and the answer, the audit and the preview say so."""
    bench = make_bench({"a": "SSSSSS"})
    bench.step(2)
    (view,) = strategy_views(bench.trader)
    assert view.on_kill == "a closes SELL 0.5 EURUSD"
    reply = order(bench, "kill", "a")
    assert reply.text == "killed a; a closes SELL 0.5 EURUSD"
    assert (only(reply).becomes, held(bench)) == ("closes", set())
    assert result_of(bench)["result"] == reply.text
    assert order(bench, "kill", "a").text == "killed a; it holds nothing"
    assert strategy_views(bench.trader)[0].on_kill == ""


@pytest.mark.parametrize(
    ("how", "shares", "plans", "target", "said"),
    [
        # The majority stays: three sell, one is killed.
        (VOTE, (1, 1, 1), "SSS", "a", "eur keeps SELL 0.5 EURUSD: two other members vote"),
        # A dissenter goes: what the others hold is theirs all the more.
        (VOTE, (1, 1, 1), "LSS", "a", "eur keeps SELL 0.5 EURUSD: two other members vote"),
        # One against one is a tie, which leaves a position.
        (
            VOTE,
            (1, 1, 1),
            "SSL",
            "a",
            f"eur closes SELL 0.5 EURUSD: {NOT_CARRIED}",
        ),
        # 0.5 short against 0.2 long is −0.6 with a, −0.2 ÷ 0.4 … without it: still beyond exit.
        (
            WEIGHTED,
            (0.6, 0.3, 0.1),
            "SSL",
            "a",
            "eur keeps SELL 0.5 EURUSD: two other members vote",
        ),
        # Without a the net is (0.2 − 0.2) ÷ 0.4 = 0: below the exit of 0.1.
        (
            WEIGHTED,
            (0.6, 0.2, 0.2),
            "SSL",
            "a",
            f"eur closes SELL 0.5 EURUSD: {NOT_CARRIED.replace('+0', '+0.00')}",
        ),
        # A flat member votes too, and weakens: (0.2) ÷ 0.6 = 0.33 is above the exit of 0.1.
        (
            WEIGHTED,
            (0.4, 0.2, 0.4),
            "SSF",
            "a",
            "eur keeps SELL 0.5 EURUSD: two other members vote",
        ),
        (VOTE, (1, 1, 1), "SSS", "eur", "eur closes SELL 0.5 EURUSD"),
        (VOTE, (1, 1, 1), "SSS", "EURUSD", "eur closes SELL 0.5 EURUSD"),
    ],
)
def test_a_member_s_kill_says_what_its_book_makes_of_it(
    make_bench: Make, how: str, shares: tuple[float, ...], plans: str, target: str, said: str
) -> None:
    """The other members decide at once, by the book's own rule; the words are the outcome."""
    names = dict(zip("abc", shares, strict=True))
    scripts = {name: letter * 8 for name, letter in zip("abc", plans, strict=True)}
    bench = make_bench(scripts, extra=book("eur", names, how))
    bench.step(2)
    before = held(bench)
    assert len(before) == 1
    preview = {view.name: view.on_kill for view in strategy_views(bench.trader)}
    assert preview.get(target, said) == said
    reply = order(bench, "kill", target)
    assert reply.text == f"killed {target}; {said}"
    assert held(bench) == (before if "keeps" in said else set())
    assert only(reply).becomes == ("keeps" if "keeps" in said else "closes")
    bench.step()
    assert held(bench) & before == (before if "keeps" in said else set())


def test_who_votes_is_counted_as_the_book_counts(make_bench: Make) -> None:
    """Disabled members have no vote and speak for the exit alone; killed ones not even that."""
    bench = make_bench(
        dict.fromkeys("abcd", "SSSSSSSS"), extra=book("eur", dict.fromkeys("abcd", 1))
    )
    bench.step(2)
    ticket = held(bench)
    said = order(bench, "disable", "b").text
    assert said == "disabled b; eur keeps SELL 0.5 EURUSD: three other members vote"
    said = order(bench, "kill", "a").text
    assert said == "killed a; eur keeps SELL 0.5 EURUSD: two other members vote"
    said = order(bench, "kill", "c").text
    assert said == "killed c; eur keeps SELL 0.5 EURUSD: one other member votes"
    said = order(bench, "disable", "d").text
    nobody = "nobody votes any more; it stays, protected, until its exit"
    assert said == f"disabled d; eur keeps SELL 0.5 EURUSD: {nobody}"
    assert order(bench, "kill", "d").text == f"killed d; eur keeps SELL 0.5 EURUSD: {nobody}"
    assert held(bench) == ticket
    assert order(bench, "kill", "b").text == "killed b; eur closes SELL 0.5 EURUSD"
    assert held(bench) == set()


def test_closing_the_book_s_position_is_one_word_more(make_bench: Make) -> None:
    """`--close` closes at once what others would keep, as killed; its book waits to re-arm."""
    bench = make_bench(dict.fromkeys("abc", "SSSSSSSS"), extra=book("eur", dict.fromkeys("abc", 1)))
    bench.step(2)
    closed = []
    bench.trader.positions.on_closed = closed.append
    with pytest.raises(UserError, match="kill 'all': allowed: close"):
        order(bench, "kill", "a", text="all")
    assert len(bench.held) == 1
    reply = order(bench, "kill", "a", text="close")
    assert reply.text == "killed a; eur closes SELL 0.5 EURUSD"
    assert [trade.reason for trade in closed] == [ExitReason.KILL]
    bench.step(2)
    assert held(bench) == set()  # b and c go on selling, but the book is spent


def test_several_books_and_others_are_each_named(make_bench: Make) -> None:
    """A symbol's kill concerns every book there; what others hold stays, and is said to."""
    extra = book("one", {"a": 1}) + book("two", {"b": 1, "c": 1})
    bench = make_bench({"a": "SSSSSS", "b": "LLLLLL", "c": "LLLLLL"}, extra=extra)
    ticket = bench.by_hand(1, 0.1)
    bench.step(2)
    reply = order(bench, "kill", "EURUSD")
    assert reply.text == (
        "killed EURUSD; one closes SELL 0.5 EURUSD; two closes BUY 0.5 EURUSD; "
        "EXTERNAL keeps BUY 0.1 EURUSD: nobody here closes it"
    )
    assert held(bench) == {ticket}


def test_an_order_that_is_looked_for_is_said_to_be(make_bench: Make) -> None:
    """What an unknown order left is closed if nobody else is there, else the others decide."""
    bench = make_bench(dict.fromkeys("abc", "FSSSSSSS"), extra=book("eur", dict.fromkeys("abc", 1)))
    bench.step()
    bench.fault(call="order_send", kind="error", code=-10005, when="after")
    bench.step()
    assert bench.slot("eur")["unsettled"]
    looked = "eur in EURUSD: an order's outcome is being looked for; a position that it opened is"
    assert order(bench, "kill", "a").text == f"killed a; {looked} left to the other members"
    reply = order(bench, "kill", "eur")
    assert reply.text == f"killed eur; {looked} closed"
    assert only(reply).becomes == "unsettled"
    bench.look_for_s(60)
    bench.step()
    assert held(bench) == set()
    bench.check_books()


def test_what_closes_already_is_not_said_to_stay(make_bench: Make) -> None:
    """A goal that was decided before stands, whoever votes."""
    bench = make_bench(dict.fromkeys("abc", "SSSSSSSS"), extra=book("eur", dict.fromkeys("abc", 1)))
    bench.step(2)
    bench.fault(call="order_send", kind="retcode", retcode=10018, count=5)
    order(bench, "flatten")
    assert len(bench.held) == 1
    reply = order(bench, "kill", "a")
    assert result_of(bench)["result"] == (
        "killed a; eur closes SELL 0.5 EURUSD: decided before: flatten"
    )
    # What it waits for is known once it was tried again.
    assert reply.text.startswith("killed a; eur closes SELL 0.5 EURUSD: WAITING till 10:0")
    assert "MARKET_CLOSED" in reply.text


@pytest.mark.parametrize("seed", range(4))
def test_the_words_come_true_whatever_came_before(make_bench: Make, seed: int) -> None:
    """Random votes, weights and switches: what is said to close is closed, what stays stays."""
    rng = random.Random(seed)
    names = "abcdefgh"
    plans = {name: "".join(rng.choice("LSSFH") for _ in range(28)) for name in names}
    shares = {name: round(rng.uniform(0.1, 1.0), 2) for name in names}
    extra = book("w", {n: shares[n] for n in "abc"}, WEIGHTED) + book("v", dict.fromkeys("defg", 1))
    bench = make_bench(plans, extra=extra)
    seen = set()
    for _ in range(27):
        bench.step()
        before, target = held(bench), rng.choice([*names, "w", "v"])
        name = rng.choice(["kill", "kill", "disable"])
        preview = {view.name: view.on_kill for view in strategy_views(bench.trader)}
        text = rng.choice(["", "", "close"]) if name == "kill" else ""
        reply = order(bench, name, target, text=text)
        seen |= {fate.becomes for fate in reply.positions}
        now = held(bench)
        for fate in reply.positions:
            assert fate.ticket in before
            if name == "kill":
                assert (fate.ticket in now) == (fate.becomes == "keeps"), reply
        assert before - now <= {fate.ticket for fate in reply.positions}
        if name == "kill" and not text and preview.get(target):
            assert reply.text == f"killed {target}; {preview[target]}"
        kept = {f.ticket for f in reply.positions if name == "disable" and f.becomes == "keeps"}
        assert kept <= now
        for again in rng.sample(names, 3):
            order(bench, "enable", again)
    assert {"closes", "keeps"} <= seen
