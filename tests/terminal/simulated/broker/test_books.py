"""What holds of the account's books after any sequence of requests, on every kind of account."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision.money import round_ccy
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module.api import SimulatedTerminal
from engine.terminal.simulated.prices.generated import GeneratedSource
from tests.terminal.simulated.worlds import EUR, JPY, make_terminal

BOTH = (EUR, JPY)
SPECS = [DEFAULT_SYMBOLS[name] for name in BOTH]
SOURCE = GeneratedSource(23, SPECS)
ALWAYS = (1, 2**31 - 1)

ACCOUNTS: dict[str, dict[str, Any]] = {
    "hedging": {},
    "netting": {"hedging": False},
    "exchange": {"hedging": False, "exchange": True},
    "fifo": {"fifo": True, "hedge_allowed": False},
}
worlds = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(ACCOUNTS)),
        "execution": st.sampled_from(["market", "instant", "exchange"]),
        "liquidity_lots": st.sampled_from([None, 0.3]),
        "balance_ccy": st.sampled_from([2_000.0, 100_000.0]),
    }
)

# Which of the things there are, a side, hundredths of a lot, points away, a filling.
numbers = st.tuples(
    st.integers(0, 7),
    st.integers(0, 1),
    st.integers(1, 120),
    st.integers(-300, 300),
    st.integers(0, 3),
)
kinds = ("deal", "close", "pending", "modify", "remove", "sltp", "close_by", "advance", "advance")
steps = st.lists(st.tuples(st.sampled_from(kinds), numbers), max_size=16)


def build(world: dict[str, Any], **more: Any) -> SimulatedTerminal:
    """Return a terminal of a drawn world."""
    options = dict(world)
    account = {**ACCOUNTS[options.pop("kind")], "balance_ccy": options.pop("balance_ccy")}
    return make_terminal(
        {}, source=SOURCE, symbols=BOTH, account=account, filling_mode=7, **options, **more
    )


def request(terminal: SimulatedTerminal, kind: str, drawn: tuple[int, ...]) -> dict[str, Any]:
    """Return a request of a kind, aimed at what there is; many are refused."""
    which, side, hundredths, points, filling = drawn
    held, working = terminal.positions_get(), terminal.orders_get()
    symbol = BOTH[which % 2]
    target = held[which % len(held)] if held else None
    order = working[which % len(working)] if working else None
    if target and kind in ("close", "sltp", "close_by"):
        symbol = target.symbol
    elif order and kind in ("modify", "remove"):
        symbol = order.symbol
    info, tick = terminal.symbol_info(symbol), terminal.symbol_info_tick(symbol)
    price = tick.bid if side else tick.ask
    at = round(price + points * info.point, info.digits)
    lots = hundredths / 100
    base = {"symbol": symbol, "volume": lots, "type_filling": filling, "price": price}
    if kind == "deal":
        return {**base, "action": c.TRADE_ACTION_DEAL, "type": side, "deviation": 50}
    if kind == "close" and target:
        closing = tick.bid if target.type == 0 else tick.ask
        lots = min(lots, target.volume) if which % 3 else target.volume
        aimed = {"volume": lots, "position": target.ticket, "type": 1 - target.type}
        return {**base, "action": c.TRADE_ACTION_DEAL, **aimed, "price": closing}
    if kind == "pending":
        limit = round(at - points / 2 * info.point, info.digits)
        timed = {"type_time": which % 2}
        placed = {"type": 2 + (which * 2 + side) % 6, "price": at, "stoplimit": limit, **timed}
        return {**base, "action": c.TRADE_ACTION_PENDING, **placed}
    ticket = {"order": order.ticket if order else 1}
    if kind == "modify":
        return {"action": c.TRADE_ACTION_MODIFY, **ticket, "price": at}
    if kind == "remove":
        return {"action": c.TRADE_ACTION_REMOVE, **ticket}
    position = {"position": target.ticket if target else 1}
    if kind == "sltp":
        return {"action": c.TRADE_ACTION_SLTP, "symbol": symbol, **position, "sl": at}
    other = held[(which + 1) % len(held)].ticket if held else 1
    return {"action": c.TRADE_ACTION_CLOSE_BY, **position, "position_by": other}


def play(terminal: SimulatedTerminal, script: list[Any]) -> list[int]:
    """Play drawn steps; return the codes of the answers."""
    codes = []
    for kind, drawn in script:
        if kind == "advance":
            minutes = (1, 3, 30, 300)[drawn[0] % 4]
            terminal.advance(terminal.now_ns() + minutes * 60 * 10**9)
            continue
        result = terminal.order_send(request(terminal, kind, drawn))
        assert result is not None, terminal.last_error()
        codes.append(result.retcode)
    return codes


def picture(terminal: SimulatedTerminal) -> tuple[Any, ...]:
    """Return everything a client can see of the account."""
    return (
        terminal.account_info(),
        terminal.positions_get(),
        terminal.orders_get(),
        terminal.history_orders_get(*ALWAYS),
        terminal.history_deals_get(*ALWAYS),
        terminal.now_ns(),
    )


def signed(deal_or_position: Any) -> float:
    """Return lots, negative for sells."""
    return float(deal_or_position.volume * (1 - 2 * deal_or_position.type))


def check_money(terminal: SimulatedTerminal) -> None:
    """The balance is the deals', equity and margin are the positions'."""
    deals, held = terminal.history_deals_get(*ALWAYS), terminal.positions_get()
    info = terminal.account_info()
    assert info.balance == round_ccy(
        sum(d.profit + d.commission + d.swap + d.fee for d in deals), 2
    )
    assert info.profit == pytest.approx(sum(p.profit + p.swap for p in held), abs=1e-6)
    assert info.equity == pytest.approx(info.balance + info.credit + info.profit)
    assert info.margin_free == pytest.approx(info.equity - info.margin)
    larger = 0.0
    for name in BOTH:
        sides = [
            sum(p.volume for p in held if p.symbol == name and p.type == side) for side in (0, 1)
        ]
        bid = terminal.symbol_info_tick(name).bid
        larger += terminal.order_calc_margin(0, name, max(sides), bid) if max(sides) else 0.0
    assert info.margin == pytest.approx(larger, abs=0.02)


def check_volumes(terminal: SimulatedTerminal) -> None:
    """Orders, deals and positions tell of the same lots."""
    deals, held = terminal.history_deals_get(*ALWAYS), terminal.positions_get()
    for name in BOTH:
        own = [p for p in held if p.symbol == name]
        dealt = sum(signed(d) for d in deals if d.symbol == name and d.type < 2)
        assert dealt == pytest.approx(sum(signed(p) for p in own), abs=1e-9)
        assert terminal.account_info().margin_mode == 2 or len(own) <= 1
    orders = (*terminal.history_orders_get(*ALWAYS), *terminal.orders_get())
    assert len({o.ticket for o in orders}) == len(orders)
    for order in orders:
        got = [d.volume for d in deals if d.order == order.ticket]
        filled = order.volume_initial - order.volume_current
        # A close-by has a deal in each of its two positions.
        both = 2 if order.type == c.ORDER_TYPE_CLOSE_BY else 1
        assert sum(got) == pytest.approx(both * filled, abs=1e-9)
        working = order.time_done == 0
        assert working == (order in terminal.orders_get())
        if order.state == c.ORDER_STATE_FILLED:
            assert order.volume_current == 0.0
        if order.state in (c.ORDER_STATE_CANCELED, c.ORDER_STATE_EXPIRED) and not got:
            assert order.volume_current == order.volume_initial
    assert {d.order for d in deals if d.type < 2} <= {o.ticket for o in orders}


def check_positions(terminal: SimulatedTerminal) -> None:
    """Each position's life is in its deals, and lots never change sides but by a reversal."""
    deals = [d for d in terminal.history_deals_get(*ALWAYS) if d.type < 2]
    held = {p.identifier: p for p in terminal.positions_get()}
    for identifier in {d.position_id for d in deals}:
        lots = 0.0
        for d in (d for d in deals if d.position_id == identifier):
            before, lots = lots, round(lots + signed(d), 8)
            if d.entry == c.DEAL_ENTRY_IN:
                assert abs(lots) > abs(before)
                assert (d.profit, d.swap) == (0.0, 0.0)
            elif d.entry == c.DEAL_ENTRY_INOUT:
                assert before * lots < 0.0
            else:
                assert abs(lots) < abs(before)
                assert before * lots >= 0.0
        open_lots = signed(held[identifier]) if identifier in held else 0.0
        assert lots == pytest.approx(open_lots, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(world=worlds, script=steps)
def test_the_books_balance_after_anything(world, script):
    """Money, volumes and positions agree with the deals, whatever was asked of the terminal."""
    terminal = build(world)
    play(terminal, script)
    check_money(terminal)
    check_volumes(terminal)
    check_positions(terminal)


@settings(max_examples=40, deadline=None)
@given(world=worlds, script=steps, last=st.tuples(st.sampled_from(kinds[:7]), numbers))
def test_check_and_send_agree_and_a_refusal_changes_nothing(world, script, last):
    """What `order_check` refuses `order_send` refuses with the same code, leaving no trace."""
    terminal = build(world)
    play(terminal, script)
    asked = request(terminal, *last)
    before = picture(terminal)
    checked = terminal.order_check(asked)
    assert picture(terminal) == before
    sent = terminal.order_send(asked)
    if checked.retcode:
        assert sent.retcode == checked.retcode
    else:
        assert sent.retcode in (
            c.TRADE_RETCODE_DONE,
            c.TRADE_RETCODE_DONE_PARTIAL,
            c.TRADE_RETCODE_REJECT,  # no liquidity, or not passive: known only when sent
        )
    if sent.retcode not in (c.TRADE_RETCODE_DONE, c.TRADE_RETCODE_DONE_PARTIAL):
        assert picture(terminal) == before


@settings(max_examples=20, deadline=None)
@given(world=worlds, before=steps, after=steps)
def test_a_kill_changes_nothing(tmp_path_factory, world, before, after):
    """A terminal restored from the ledger of one that was killed goes on as if nothing had been."""
    path = tmp_path_factory.mktemp("ledger") / "broker.sqlite"
    unbroken, killed = build(world), build(world, ledger=path)
    assert play(unbroken, before) == play(killed, before)
    killed.broker._ledger.close()  # what was answered is in it; the clock was not written
    restored = build(world, ledger=path)
    restored.advance(unbroken.now_ns())
    assert picture(restored) == picture(unbroken)
    assert play(unbroken, after) == play(restored, after)
    assert picture(restored) == picture(unbroken)
    restored.close()


def test_the_random_requests_reach_everything():
    """Such scripts open, close, reverse and close by, and end orders in every way there is."""
    chance = random.Random(1)
    codes: set[int] = set()
    entries: set[int] = set()
    states: set[int] = set()
    for number in range(100):
        world = {
            "kind": sorted(ACCOUNTS)[number % 4],
            "execution": ("market", "instant", "exchange")[number % 3],
            "liquidity_lots": (None, 0.3)[number % 2],
            "balance_ccy": (2_000.0, 100_000.0)[number // 2 % 2],
        }
        terminal = build(world)
        script = [
            (
                chance.choice(kinds),
                (
                    chance.randint(0, 7),
                    chance.randint(0, 1),
                    chance.randint(1, 120),
                    chance.randint(-300, 300),
                    chance.randint(0, 3),
                ),
            )
            for _ in range(25)
        ]
        codes.update(play(terminal, script))
        entries.update(d.entry for d in terminal.history_deals_get(*ALWAYS))
        states.update(o.state for o in terminal.history_orders_get(*ALWAYS))
    assert entries == {0, 1, 2, 3}
    assert states == {2, 3, 4, 5, 6}
    assert {10006, 10009, 10010, 10013, 10015, 10016, 10019, 10030, 10035, 10036} <= codes
