"""Constants, structs, functions and dtypes are those of the MetaTrader5 module."""

import copy
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from engine.terminal.simulated.module import constants, structs
from engine.terminal.simulated.module.api import SimulatedTerminal
from engine.terminal.simulated.module.arguments import ERROR_TEXTS
from tests.terminal.simulated.worlds import deal, make_terminal

API = Path(__file__).resolve().parents[4] / "shared" / "mt5" / "api.json"

N_CONSTANTS, N_STRUCTS, N_FUNCTIONS = 223, 11, 32
N_FIELDS = {
    "Tick": 8,
    "OrderSendResult": 11,
    "TradePosition": 19,
    "BookInfo": 4,
    "AccountInfo": 28,
    "TradeOrder": 24,
    "OrderCheckResult": 9,
    "SymbolInfo": 96,
    "TerminalInfo": 22,
    "TradeDeal": 18,
    "TradeRequest": 17,
}


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    """Return the module's description, kept beside the project."""
    if not API.exists():
        pytest.skip(f"no description of the MetaTrader5 module at {API}")
    described: dict[str, Any] = json.loads(API.read_text())
    return described


def functions() -> dict[str, Any]:
    """Return the terminal's functions that the module has, helpers aside."""
    beside = {"advance", "close", "control", "jump", "now_ns", "set_speed", "sever", "state"}
    return {
        name: method
        for name, method in inspect.getmembers(SimulatedTerminal, inspect.isfunction)
        if not name.startswith("_") and name[0].islower() and name not in beside
    }


def test_constants_are_the_modules(api):
    """Every constant has the module's value, none is added, all are attributes."""
    assert api["constants"] == constants.ALL
    for name, value in api["constants"].items():
        assert getattr(SimulatedTerminal, name) == value


def test_struct_fields_are_the_modules(api):
    """Every struct has the module's fields in order, with their types."""
    ours = {
        made.__name__: {name: kind.__name__ for name, kind in types.items()}
        for made, types in structs.FIELD_TYPES.items()
    }
    assert ours == api["structs"]
    assert all(list(ours[name]) == list(api["structs"][name]) for name in ours)


def test_dtypes_and_errors_are_the_modules(api):
    """Arrays and `last_error` texts are the module's."""
    assert [[name, kind] for name, kind in structs.RATES_DTYPE.descr] == api["rates_dtype"]
    assert [[name, kind] for name, kind in structs.TICKS_DTYPE.descr] == api["ticks_dtype"]
    assert {str(code): text for code, text in ERROR_TEXTS.items()} == api["last_error"]


def test_functions_and_conventions_are_the_modules(api):
    """The functions are the module's; what it takes by position only, we do too."""
    ours = functions()
    assert ours.keys() == api["functions"].keys()
    for name, described in api["functions"].items():
        parameters = list(inspect.signature(ours[name]).parameters.values())[1:]
        kinds = {p.kind for p in parameters}
        if described["convention"] == "no arguments":
            assert not parameters, name
        elif described["convention"] == "positional only":
            assert kinds == {inspect.Parameter.POSITIONAL_ONLY}, name


def test_interface_is_complete_without_the_description():
    """The counts of the module's description hold where the description is absent."""
    assert len(constants.ALL) == N_CONSTANTS
    assert len(structs.ALL) == N_STRUCTS
    assert len(functions()) == N_FUNCTIONS
    assert {name: len(made.__match_args__) for name, made in structs.ALL.items()} == N_FIELDS
    assert all(hasattr(SimulatedTerminal, name) for name in ("Buy", "Sell", "Close"))


def test_results_behave_like_struct_sequences():
    """A tuple with read-only attributes, `_asdict` and a repr; no `_fields`, no `_replace`."""
    info = make_terminal().account_info()
    assert isinstance(info, tuple)
    assert info[0] == info.login == info._asdict()["login"]
    assert repr(info).startswith("AccountInfo(login=1000001, trade_mode=0, ")
    assert not hasattr(info, "_fields")
    assert not hasattr(info, "_replace")
    assert not hasattr(info, "__dict__")
    with pytest.raises(AttributeError):
        info.login = 2
    with pytest.raises(TypeError):
        structs.Tick([1, 2])


def test_results_cannot_be_pickled():
    """Pickling or copying a result raises TypeError, as with the module."""
    result = make_terminal().order_send(deal(0))
    for struct in (result, result.request):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.dumps(struct, protocol)
        with pytest.raises(TypeError):
            copy.copy(struct)


def test_results_have_the_declared_types():
    """What the functions return has the types that the module declares."""
    terminal = make_terminal()
    sent = terminal.order_send(deal(0, sl=1.09))
    results = [
        sent,
        sent.request,
        terminal.order_check(deal(0)),
        terminal.account_info(),
        terminal.terminal_info(),
        terminal.symbol_info("EURUSD"),
        terminal.symbol_info_tick("EURUSD"),
        *terminal.positions_get(),
        *terminal.history_orders_get(ticket=sent.order),
        *terminal.history_deals_get(ticket=sent.order),
    ]
    assert {type(r) for r in results} == structs.FIELD_TYPES.keys() - {structs.BookInfo}
    for result in results:
        for name, kind in structs.FIELD_TYPES[type(result)].items():
            assert type(getattr(result, name)) is kind, (type(result).__name__, name)
