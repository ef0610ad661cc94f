"""What a restart continues from: every bit of state, found again by name."""

import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decision.allocation.shadow import renew_work
from engine.decision.covariance import update_covariance
from engine.decision.saved import ADDED, Names, dump_core, load_core
from engine.decision.state import (
    ACCOUNT_STATE,
    MEMBER_STATE,
    N_DAYS,
    N_RETURNS,
    SLOT_STATE,
    SYMBOL_STATE,
)
from engine.model.errors import StateError
from engine.portfolio.compile import compile_portfolio
from engine.portfolio.file import parse_portfolio
from tests.decision.conftest import build, strategy

DATA = Path(__file__).with_name("data")
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD")


def text(members):
    """Return a portfolio of books of one: (name, symbol) each."""
    return "".join(strategy(name, symbol) for name, symbol in members)


def fill(core, seed):
    """Write noise into everything that a restart must restore, NaN and −0.0 among it."""
    rng = np.random.default_rng(seed)
    for array in (core.account, core.quotes, core.positions, core.outputs):
        for field in array.dtype.names:
            if array.dtype[field] == np.float64:
                noise = rng.normal(size=len(array))
                noise[rng.random(len(array)) < 0.2] = rng.choice([np.nan, -0.0, np.inf])
                array[field] = noise
            else:
                array[field] = rng.integers(0, 3, len(array))
    core.days[:] = rng.normal(size=core.days.shape)
    core.returns[:] = rng.normal(size=core.returns.shape) * 1e-3
    core.days[rng.random(core.days.shape) < 0.1] = np.nan


def state(core, names):
    """Return each account's, symbol's, slot's and member's state as bytes, by name."""
    rows = {("account", ""): core.account.tobytes()}
    for i, name in enumerate(names.symbols):
        rows["symbol", name] = core.quotes[i].tobytes() + core.returns[:, i].tobytes()
    for i, name in enumerate(names.slots):
        rows["slot", name] = core.positions[i].tobytes()
    for i, name in enumerate(names.members):
        rows["member", name] = core.outputs[i].tobytes() + core.days[:, i].tobytes()
    return rows


portfolios = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(SYMBOLS)),
    min_size=1,
    unique_by=lambda member: member[0],
)


@settings(max_examples=60, deadline=None)
@given(portfolios, portfolios, st.integers(0, 2**32 - 1))
def test_what_both_have_keeps_every_bit_and_the_rest_is_as_new(before, after, seed):
    """Members, slots and symbols added, removed and reordered: found by name, or untouched."""
    old, new, fresh = build(text(before)), build(text(after)), build(text(after))
    old_names, new_names = (
        compile_portfolio(parse_portfolio(text(members), "x")).names for members in (before, after)
    )
    fill(old, seed)
    lost = load_core(new, new_names, dump_core(old, old_names))
    saved, left = state(old, old_names), state(fresh, new_names)
    assert state(new, new_names) == {key: saved.get(key, row) for key, row in left.items()}
    gone = set(old_names.slots) - set(new_names.slots)
    held = {n for n, p in zip(old_names.slots, old.positions, strict=True) if p["direction"] != 0}
    assert lost == [name for name in old_names.slots if name in gone & held]


@settings(max_examples=30, deadline=None)
@given(portfolios, st.integers(0, 2**32 - 1))
def test_a_core_that_was_loaded_is_the_one_that_was_dumped(members, seed):
    """Dumping it again gives the same bytes; what is worked out is what it was."""
    compiled = compile_portfolio(parse_portfolio(text(members), "x"))
    one, other = build(text(members)), build(text(members))
    fill(one, seed)
    blob = dump_core(one, compiled.names)
    renew_work(one)
    update_covariance(one)
    for field in ("pending", "closed", "long_stop"):
        other.work[field][:-1] = 7
    load_core(other, compiled.names, blob)
    assert dump_core(other, compiled.names) == blob
    assert one.covariance.tobytes() == other.covariance.tobytes()
    for field in one.work.dtype.names:
        if not field.endswith("_ccy"):  # worked out at need
            assert one.work[field].tobytes() == other.work[field].tobytes()


def test_every_state_array_is_saved(make_core):
    """A record that is state and not in the dump would be lost: a flip of any byte shows."""
    names = Names(["EURUSD"], ["a/EURUSD"], ["a"])
    core = make_core(strategy("a"))
    first = dump_core(core, names)
    arrays = {
        "account": ACCOUNT_STATE,
        "quotes": SYMBOL_STATE,
        "positions": SLOT_STATE,
        "outputs": MEMBER_STATE,
    }
    for name, dtype in arrays.items():
        for field in dtype.names:
            before = getattr(core, name).tobytes()
            getattr(core, name)[field] += 3
            if before != getattr(core, name).tobytes():  # NaN + 3 is NaN
                assert dump_core(core, names) != first, (name, field)
            getattr(core, name)[:] = np.frombuffer(before, dtype)
    for array, shape in ((core.days, (N_DAYS, 1)), (core.returns, (N_RETURNS, 1))):
        assert array.shape == shape
        array[-1] = 0.5
        assert dump_core(core, names) != first
        first = dump_core(core, names)


def test_another_versions_state_is_refused_with_what_to_do(make_core):
    """A layout that differs is never guessed at."""
    names = Names(["EURUSD"], ["a/EURUSD"], ["a"])
    core = make_core(strategy("a"))
    blob = dump_core(core, names).replace(b"balance_ccy", b"balance_xyz")
    with pytest.raises(StateError, match="another version"):
        load_core(core, names, blob)


def test_an_earlier_versions_state_is_taken_by_name(make_core):
    """What version 0.1 saved is all there; fields that it did not have begin as in a new core."""
    saved = zlib.decompress((DATA / "state_0_1.msgpack.z").read_bytes())
    names = Names(["EURUSD"], ["a/EURUSD"], ["a"])
    core, new = make_core(strategy("a")), make_core(strategy("a"))
    assert load_core(core, names, saved) == []
    account, slot = core.account[0], core.positions[0]
    assert (account["tier"], account["high_water_ccy"]) == (2, 101_000.0)
    assert account["balance_ccy"] == 92_000.0
    assert (slot["direction"], slot["lots"], slot["entry_price"]) == (1, 0.5, 1.17)
    assert (slot["repeated"], slot["orders_today"]) == (3, 4)
    for array, fresh in zip(
        (core.account, core.quotes, core.positions, core.outputs),
        (new.account, new.quotes, new.positions, new.outputs),
        strict=True,
    ):
        for field in (ADDED & set(array.dtype.names)) - {"swap_day", "shadow_days"}:
            assert array[field].tobytes() == fresh[field].tobytes()
    # Swaps were charged with the day, and each day that ended was one of every record.
    assert account["swap_day"] == account["server_day"]
    assert core.outputs["shadow_days"].tolist() == [account["n_rolls"]]


def test_only_a_field_that_was_added_may_be_missing(make_core, monkeypatch):
    """A field that is known to be new is as new; without that word the state is refused."""
    names = Names(["EURUSD"], ["a/EURUSD"], ["a"])
    core, other = make_core(strategy("a")), make_core(strategy("a"))
    core.positions["n_trades"], other.positions["n_trades"] = 5, 7
    core.positions["lots"] = 0.25
    fields = [f for f in SLOT_STATE.names if f != "n_trades"]
    then = np.dtype([(f, SLOT_STATE[f]) for f in fields], align=True)
    older = np.zeros(1, then)
    for field in fields:
        older[field] = core.positions[field]
    saved = msgspec.msgpack.decode(dump_core(core, names))
    saved["layout"] = repr((ACCOUNT_STATE, SYMBOL_STATE, then, MEMBER_STATE, N_DAYS, N_RETURNS))
    saved["positions"] = older.tobytes()
    blob = msgspec.msgpack.encode(saved)
    with pytest.raises(StateError, match="another version"):
        load_core(other, names, blob)
    monkeypatch.setattr("engine.decision.saved.ADDED", frozenset({"n_trades"}))
    assert load_core(other, names, blob) == []
    assert (other.positions[0]["lots"], other.positions[0]["n_trades"]) == (0.25, 7)


@pytest.mark.parametrize("layout", ["", "dtype(", "(1, 2)", "f(3), 64, 250", "(x, 64, 250)"])
def test_a_layout_that_is_none_is_refused(make_core, layout):
    """Whatever stands there: one error, nothing is written."""
    names = Names(["EURUSD"], ["a/EURUSD"], ["a"])
    core = make_core(strategy("a"))
    saved = msgspec.msgpack.decode(dump_core(core, names))
    before = core.account.tobytes()
    with pytest.raises(StateError, match="another version"):
        load_core(core, names, msgspec.msgpack.encode(saved | {"layout": layout}))
    assert core.account.tobytes() == before
