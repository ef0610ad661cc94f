"""What a broker writes is its own: it enters as text of one line that does nothing."""

import string
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.model.printable import is_printable
from engine.terminal.host import convert
from engine.terminal.host.loading import LoadedTerminal
from engine.terminal.host.process import _failure
from engine.terminal.host.server_time import ServerTime
from engine.terminal.host.session import TerminalSession
from engine.terminal.host.symbol_names import SymbolNames
from engine.terminal.host_link import _meaning
from engine.terminal.protocol import CallFailed, HostConfig, TerminalReply
from tests.terminal.fake_api import SYMBOL, FakeApi

BAD = "x\x1b]0;OWNED\x07 \x9b31m \x00 \n \u202e \u200b half \ud83d byte \udcff"
TIME = ServerTime("UTC")


def texts(value: Any) -> list[str]:
    """Return every text in a record."""
    return [text for text in msgspec.structs.astuple(value) if isinstance(text, str)]


def item(**texts: str) -> Any:
    """Return a struct of the module: every number 1, these texts."""

    class Item(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            return 1

    return Item(**texts)


@pytest.mark.parametrize(
    "record",
    [
        lambda: convert.account_state(item(server=BAD, currency=BAD)),
        lambda: convert.position(item(symbol=BAD, comment=BAD), TIME),
        lambda: convert.order(item(symbol=BAD, comment=BAD), TIME),
        lambda: convert.deal(item(symbol=BAD, comment=BAD), TIME),
        lambda: convert.order_result(item(comment=BAD), (1, "")),
        lambda: convert.order_result(None, (-1, BAD)),
    ],
)
def test_every_text_of_the_terminal_is_printable(record: Any) -> None:
    """Server, currency, symbol, comment and error: clean, bounded, and they can be sent on."""
    made = record()
    assert any("OWNED" in text for text in texts(made))
    assert all(is_printable(text) and len(text) <= 2000 for text in texts(made))
    msgspec.msgpack.encode(made)


def test_a_description_is_printable() -> None:
    """The company's name, paths and whatever else a terminal says of itself."""
    info = SimpleNamespace(_asdict=lambda: {"company": BAD, "build": 5, "other": object()})
    said = convert.plain(info)
    assert said["build"] == 5
    assert is_printable(said["company"])
    assert "OWNED" in said["company"]


def test_a_symbol_of_an_odd_name_is_still_ours() -> None:
    """What is configured for a symbol holds for its positions, however its name is written."""
    theirs = "EURUSD\u200b"
    names = SymbolNames({"EURUSD": theirs}, "", "")
    assert names.look_up("EURUSD", lambda name: object(), lambda pattern: []) == theirs
    position = convert.position(item(symbol=theirs, comment=""), TIME)
    assert names.ours(position.symbol) == "EURUSD"
    facts = convert.symbol_facts(SimpleNamespace(name=theirs, **SYMBOL))
    assert is_printable(facts.name)
    assert facts.broker_name == theirs


def test_a_failure_is_printable_at_both_ends() -> None:
    """Said by the module here, or by another box."""
    reply = msgspec.msgpack.decode(_failure(CallFailed("order_send", -1, BAD)), type=TerminalReply)
    assert reply.failure is not None
    assert is_printable(reply.failure.text)
    raw = msgspec.structs.replace(reply.failure, text=BAD)
    assert is_printable(str(_meaning(raw, is_order=False)))
    api = FakeApi()
    api.error = (-1, BAD)
    host = HostConfig(module="x", lock_path="", server_clock="UTC")
    session = TerminalSession(LoadedTerminal(api, now_ns=api.now_ns, control=None), host)
    assert is_printable(session.last_error()[1])


def test_what_is_clean_stays() -> None:
    """A comment of every printable character of ASCII, which orders are known again by."""
    comment = string.printable.strip()
    assert convert.order(item(symbol="EURUSD.r", comment=comment), TIME).comment == comment
