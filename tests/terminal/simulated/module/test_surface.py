"""Every function, field and constant of the module's description, called and judged one by one."""

import inspect
import json
import pydoc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from engine.terminal.simulated.module import constants as c
from engine.terminal.simulated.module import structs
from engine.terminal.simulated.module.api import SimulatedTerminal
from engine.terminal.simulated.module.module import as_module
from tests.terminal.simulated.module.test_interface import API
from tests.terminal.simulated.worlds import EUR, START_NS, deal, make_terminal

if not API.exists():
    pytest.skip(f"no description of the MetaTrader5 module at {API}", allow_module_level=True)

DESCRIBED: dict[str, Any] = json.loads(API.read_text())
FUNCTIONS: dict[str, dict[str, str]] = DESCRIBED["functions"]
STRUCTS: dict[str, dict[str, str]] = DESCRIBED["structs"]
S = START_NS // 10**9 + 7200

# A call of every function that succeeds on a terminal with one open position.
GOOD: dict[str, tuple[Any, ...]] = {
    "initialize": (),
    "shutdown": (),
    "login": (1_000_001,),
    "version": (),
    "terminal_info": (),
    "account_info": (),
    "copy_ticks_from": (EUR, S, 10, c.COPY_TICKS_ALL),
    "copy_ticks_range": (EUR, S, S + 60, c.COPY_TICKS_ALL),
    "copy_rates_from": (EUR, c.TIMEFRAME_M1, S, 10),
    "copy_rates_from_pos": (EUR, c.TIMEFRAME_M1, 0, 10),
    "copy_rates_range": (EUR, c.TIMEFRAME_M1, S, S + 60),
    "positions_total": (),
    "positions_get": (),
    "orders_total": (),
    "orders_get": (),
    "history_orders_total": (1, S + 86_400),
    "history_orders_get": (1, S + 86_400),
    "history_deals_total": (1, S + 86_400),
    "history_deals_get": (1, S + 86_400),
    "order_check": (deal(0),),
    "order_send": (deal(0),),
    "order_calc_margin": (0, EUR, 0.1, 1.1),
    "order_calc_profit": (0, EUR, 0.1, 1.1, 1.2),
    "symbol_info": (EUR,),
    "symbol_info_tick": (EUR,),
    "symbol_select": (EUR, True),
    "symbols_total": (),
    "symbols_get": (),
    "market_book_add": (EUR,),
    "market_book_release": (EUR,),
    "market_book_get": (EUR,),
    "last_error": (),
}
# Where None stands for a failure, and where False does.
SAYS_FALSE = {
    "initialize",
    "login",
    "symbol_select",
    "market_book_add",
    "market_book_release",
}
# These answer without a connection.
UNCONNECTED = {"initialize", "shutdown", "last_error"}
WRONG: dict[str, list[Any]] = {
    "int": ["1", 1.0, None, np.int64(1), np.int32(1), np.uint8(1), b"1", [1]],
    "float": ["1.0", 1, None, np.int64(1), np.float32(1.0), True, (1.0,)],
    "str": [1, None, b"EURUSD", 1.0, ["EURUSD"], "x" * 30, "\N{GRINNING FACE}" * 15],
}


@pytest.fixture
def terminal() -> SimulatedTerminal:
    """Return a terminal with a book of prices and one open position."""
    made = make_terminal(liquidity_lots=50.0)
    assert made.market_book_add(EUR)
    made.order_send(deal(0))
    return made


def wrong_fields() -> Iterator[tuple[str, Any]]:
    """Yield every field of a request with every kind of value that it does not take."""
    for name, kind in STRUCTS["TradeRequest"].items():
        for value in WRONG[kind]:
            yield name, value


def test_the_description_is_covered():
    """There is a good call of each of the functions, no more and no less."""
    assert GOOD.keys() == FUNCTIONS.keys()
    assert len(FUNCTIONS) == 32
    assert len(DESCRIBED["constants"]) == 223
    assert len(STRUCTS) == 11


@pytest.mark.parametrize("name", FUNCTIONS)
def test_good_calls_leave_success(terminal, name):
    """After an error a good call leaves (1, 'Success')."""
    assert terminal.symbol_info("NOSUCH") is None
    result = getattr(terminal, name)(*GOOD[name])
    if name == "last_error":
        assert result == (-4, "Terminal: Not found")
        return
    assert result is not None
    assert result is not False
    assert terminal.last_error() == (1, "Success")


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - UNCONNECTED))
def test_unconnected_calls_leave_no_ipc_connection(terminal, name):
    """Before `initialize` every function fails with −10004, as None or as False."""
    terminal.shutdown()
    assert getattr(terminal, name)(*GOOD[name]) is (False if name in SAYS_FALSE else None)
    assert terminal.last_error() == (-10004, "No IPC connection")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_conventions_are_kept(terminal, name):
    """No arguments where there are none; no keywords where arguments are positional only."""
    function: Callable[..., Any] = getattr(terminal, name)
    convention = FUNCTIONS[name]["convention"]
    if convention == "no arguments":
        with pytest.raises(TypeError):
            function(1)
        with pytest.raises(TypeError):
            function(symbol=EUR)
    elif convention == "positional only":
        names = list(inspect.signature(function).parameters)
        with pytest.raises(TypeError):
            function(**dict(zip(names, GOOD[name], strict=False)))
        with pytest.raises(TypeError):
            function(*GOOD[name], 1, 2, 3)
    else:
        # An order's keywords are a request's fields, so they come instead of a dict.
        args, keywords = GOOD[name], {"no_such_keyword": 1}
        if name in ("order_send", "order_check"):
            args, keywords = (), {**args[0], **keywords}
        assert function(*args, **keywords) not in (None, False)


@pytest.mark.parametrize(("field", "value"), wrong_fields())
def test_every_field_of_a_request_is_strictly_typed(terminal, field, value):
    """Other types, NumPy integers and long texts are −2 with the field's name; nothing is sent."""
    deals = terminal.history_deals_total(1, S + 86_400)
    for function in (terminal.order_send, terminal.order_check):
        assert function({**deal(0), field: value}) is None
        assert terminal.last_error() == (-2, f'Invalid "{field}" argument')
        assert function(**{**deal(0), field: value}) is None
    assert terminal.history_deals_total(1, S + 86_400) == deals


@pytest.mark.parametrize(
    "name", [n for n in FUNCTIONS if "positional only" in FUNCTIONS[n].values()]
)
def test_positional_arguments_are_typed(terminal, name):
    """An object that is no such argument is −2, as None or as False, whatever its place."""
    good = GOOD[name]
    for index in range(len(good)):
        if name == "symbol_select" and index == 1:
            continue  # anything is true or false
        bad = (*good[:index], object(), *good[index + 1 :])
        assert getattr(terminal, name)(*bad) is (False if name in SAYS_FALSE else None)
        assert terminal.last_error()[0] == -2


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_are_attributes_of_the_module(terminal, name):
    """Each struct type is the module's attribute, made from a sequence, with fields in order."""
    module = as_module(terminal)
    struct = getattr(module, name)
    assert struct is structs.ALL[name]
    assert list(structs.FIELD_TYPES[struct]) == list(STRUCTS[name])
    made = struct(range(len(STRUCTS[name])))
    assert list(made._asdict().values()) == list(made) == list(range(len(made)))
    # As every C struct sequence says of itself.
    assert (struct.n_fields, struct.n_sequence_fields, struct.n_unnamed_fields) == (
        *[len(made)] * 2,
        0,
    )
    with pytest.raises(TypeError):
        struct(range(len(STRUCTS[name]) + 1))


def test_the_module_has_what_the_description_has(terminal):
    """Constants with their values, functions and helpers, and no way to steer the simulation."""
    module = as_module(terminal)
    assert module.__name__ == "MetaTrader5"
    assert isinstance(module.__version__, str)
    for name, value in DESCRIBED["constants"].items():
        assert getattr(module, name) == value
    public = {name for name in vars(module) if not name.startswith("_")}
    helpers = {"Buy", "Sell", "Close"}
    assert public == (FUNCTIONS.keys() | STRUCTS.keys() | DESCRIBED["constants"].keys() | helpers)
    assert all(callable(getattr(module, name)) for name in FUNCTIONS.keys() | helpers)
    assert module.positions_total() == 1
    # `_core` is the part that is compiled in the official package.
    core = {name for name in vars(module._core) if not name.startswith("_")}
    assert core == FUNCTIONS.keys() | STRUCTS.keys()
    assert all(getattr(module._core, name) is getattr(module, name) for name in core)


def test_functions_are_not_bound_by_a_class_that_keeps_them(terminal):
    """As built-in functions they take no `self`; libraries store them as class attributes."""
    module = as_module(terminal)

    class Client:
        total = module.positions_total
        calc = module.order_calc_margin

    assert Client().total() == 1
    assert Client().calc(0, EUR, 1.0, 1.1) == 1100.0
    assert module.positions_total.__name__ == "positions_total"


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() | {"Buy", "Sell", "Close", "_RawOrder"}))
def test_functions_say_what_they_are(terminal, name):
    """`help` shows a function of the module with its arguments and text, as of a built-in one."""
    function = getattr(as_module(terminal), name)
    assert inspect.isroutine(function)
    assert function.__module__ == "MetaTrader5"
    assert inspect.signature(function) == inspect.signature(getattr(terminal, name))
    text = pydoc.plain(pydoc.render_doc(function))
    assert f"{name}(" in text
    assert inspect.getdoc(getattr(SimulatedTerminal, name)).splitlines()[0] in text


@pytest.mark.parametrize(
    ("name", "middle", "last", "kind"),
    [
        ("copy_rates_from", (c.TIMEFRAME_M1,), 5, "rates"),
        ("copy_rates_range", (c.TIMEFRAME_H1,), 2**31 - 1, "rates"),
        ("copy_ticks_from", (), (5, c.COPY_TICKS_ALL), "ticks"),
        ("copy_ticks_range", (), (2**31 - 1, c.COPY_TICKS_INFO), "ticks"),
    ],
)
def test_arrays_have_the_described_dtypes(terminal, name, middle, last, kind):
    """Bars and ticks come as structured arrays, oldest first, empty ones too."""
    for at_s in (S, 2**31 - 1):
        rest = last if isinstance(last, tuple) else (last,)
        array = getattr(terminal, name)(EUR, *middle, at_s, *rest)
        assert [list(field) for field in array.dtype.descr] == DESCRIBED[f"{kind}_dtype"]
        assert np.all(np.diff(array["time"]) >= 0)
