"""Typed readings of the core: the core's own fields, and nobody else who names them in a string."""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.decision import read, state
from tests.decision.conftest import LONG, SHORT, build, hold, say, strategy

ROOT = Path(__file__).parents[2]
FIXED = 'sizing = { method = "fixed_lots", lots = 1.0 }'
THREE = strategy("one", extra=FIXED) + strategy("two", "GBPUSD", FIXED)
# Places at which Python outside of the decision core names a field of the core in a string. The
# numbers only fall. `portfolio` makes the arrays out of the file: `engine.portfolio.compile`.
LEFT: dict[str, int] = {}
ROOMS = [
    *sorted(
        f"engine/{room.name}"
        for room in (ROOT / "engine").iterdir()
        if room.is_dir() and room.name not in ("decision", "__pycache__")
    ),
    "backtest",
    "pmpro_tui",
]
FIELDS = {
    name
    for record in vars(state).values()
    if isinstance(record, np.dtype) and record.names
    for name in record.names
}
ARRAYS = set(state.Core.__annotations__)
KERNELS = {"kernel", "core_kernel"}


def of_core(node: ast.AST, known: set[str]) -> bool:
    """Tell whether an expression is, or begins with, an array of a core."""
    while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
        if isinstance(node, ast.Attribute):
            owner = node.value
            word = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if node.attr in ARRAYS and word.strip("_").endswith("core"):
                return True
            node = node.value
        else:
            node = node.value if isinstance(node, ast.Subscript) else node.func
    return isinstance(node, ast.Name) and node.id in known


def named_fields(path: Path) -> int:
    """Count the subscripts of a core's arrays by a field's name, outside of kernels."""
    count = 0
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        if KERNELS & {d.id for d in function.decorator_list if isinstance(d, ast.Name)}:
            continue
        known: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                pairs = [(target, node.value) for target in node.targets]
                if isinstance(node.value, ast.Tuple) and isinstance(node.targets[0], ast.Tuple):
                    pairs = list(zip(node.targets[0].elts, node.value.elts, strict=True))
                known |= {
                    target.id
                    for target, value in pairs
                    if isinstance(target, ast.Name) and of_core(value, known)
                }
        for node in ast.walk(function):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                count += node.slice.value in FIELDS and of_core(node.value, known)
    return count


@pytest.mark.parametrize("room", ROOMS)
def test_nobody_outside_names_a_field_of_the_core(room):
    """A room's count of string subscripts of the core's arrays is what is held for it here."""
    found = Counter(
        {
            path.relative_to(ROOT).as_posix(): n
            for path in sorted((ROOT / room).rglob("*.py"))
            if (n := named_fields(path))
        }
    )
    assert found.total() == LEFT.get(room, 0), dict(found)


def test_the_counter_sees_what_it_is_to_see(tmp_path):
    """Rows, columns, aliases and copies count; bars, documents and kernels do not."""
    path = tmp_path / "some.py"
    path.write_text(
        "def f(self, trader, bars, core):\n"
        "    trader.core.account[0]['tier']\n"
        "    self._core.positions['lots'][2] = 1\n"
        "    row, other = core.outputs[1], bars[0]\n"
        "    row['share'] + other['close'] + bars['close']\n"
        "    core.positions.copy()['ticket']\n"
        "@core_kernel\n"
        "def g(core):\n"
        "    core.account[0]['tier']\n",
        encoding="utf-8",
    )
    assert named_fields(path) == 4


@pytest.fixture
def core():
    """Return a core whose every number is another one."""
    made = build(THREE)
    say(made, LONG)
    hold(made, 1, SHORT, 2.0, 1.17)
    n = 1
    for records in (made.account, made.limits, made.positions, made.outputs, made.quotes):
        for row in records:
            for name in records.dtype.names:
                row[name] = n % 100
                n += 1
    made.returns[:] = np.arange(made.returns.size).reshape(made.returns.shape)
    return made


def test_readings_are_the_core_s_own_fields(core):
    """Each value is that of the field of its name, as a plain number of the annotated type."""
    pairs = [
        (read.account(core), core.account[0]),
        (read.limits(core), core.limits[0]),
        *((read.position(core, i), core.positions[i]) for i in range(2)),
        *zip(read.positions(core), core.positions, strict=True),
        *((read.member(core.outputs, i), core.outputs[i]) for i in range(2)),
        *zip(read.members(core.outputs), core.outputs, strict=True),
        *((read.quote(core, i), core.quotes[i]) for i in range(2)),
        *zip(read.quotes(core), core.quotes, strict=True),
    ]
    made = [(row["n_trades"], row["realised_ccy"]) for row in core.positions]
    assert read.results(core) == made
    for reading, row in pairs:
        for name, kind in type(reading).__annotations__.items():
            value = getattr(reading, name)
            assert type(value) is kind, name
            assert value == row[name], name


def test_a_reading_stays_what_it_was(core):
    """What is written afterwards is not seen in an answer, and an answer writes nothing."""
    net_ccy, symbols = read.net_ccy(core), read.symbols_of_slots(core)
    before = read.account(core)
    core.account["tier"] += 1
    core.work["net_ccy"] += 1.0
    assert read.account(core).tier == before.tier + 1
    assert (read.net_ccy(core) == net_ccy + 1.0).all()
    symbols[:] = 7
    assert read.symbol_of(core, 1) == 1


def test_slots_are_found_by_what_they_hold_and_wait_for():
    """Held, settled, unsettled, closing, pending, refused, wishing: each its own slots."""
    core = build(THREE)
    hold(core, 1, SHORT, 2.0, 1.17)
    assert read.held_slots(core) == read.settled_slots(core) == [1]
    assert read.closing_slots(core) == read.unsettled_slots(core) == []
    core.positions["close_reason"] = 4
    assert read.closing_slots(core) == [1]
    core.positions[1]["unsettled"] = 1
    assert read.closing_slots(core) == read.settled_slots(core) == []
    assert read.unsettled_slots(core) == [1]
    core.positions["pending_direction"] = 1
    assert read.pending_slots(core) == [0]
    core.positions[0]["wish"], core.positions[1]["refusal"] = -1, 3
    assert read.wishes(core) == {0: -1}
    assert read.refused_slots(core) == []
    core.positions[0]["refusal"] = 3
    assert read.refused_slots(core) == [0]


def test_past_returns_begin_with_the_oldest():
    """The ring is read from where the next return will be written."""
    core = build(THREE)
    core.returns[:] = np.arange(state.N_RETURNS)[:, None]
    core.account["next_return"] = 3
    assert read.past_returns(core)[:, 0].tolist() == [*range(3, state.N_RETURNS), 0, 1, 2]
