"""What a client says of itself and of its target is cleaned before anything is made of it."""

import os

import msgspec
import pytest

from engine.control.messages import Actor, Execute, Hello
from engine.control.session import _cleaned
from engine.model.printable import is_printable
from engine.model.views.snapshot import PROTOCOL_VERSION, Command
from engine.runtime.command_audit import command_details
from tests.control.control_engine import START_NS, ScriptedEngine

BAD = "x\x1b[2J\x9b31m\x00\n\u202e\u200b"


def test_a_claim_that_would_be_obeyed_by_a_terminal(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminal and SSH origin from the client's environment, the target, a refused one too."""
    monkeypatch.setenv("SSH_CONNECTION", BAD.replace("\x00", ""))
    monkeypatch.setattr(os, "ttyname", lambda fd: BAD)
    client = engine.client(role="operator")
    for n, name in enumerate(("kill", "resume")):
        client.send(Command(id=f"{n}", name=name, target=BAD, sent_ns=START_NS))
    ((command, actor),) = engine.executed
    ((refused, refused_actor, _),) = engine.refusals
    assert "x" in command.target
    for text in (command.target, refused.target, actor.ssh, refused_actor.tty):
        assert is_printable(text)


def test_a_text_is_parsed_as_it_came_and_kept_clean() -> None:
    """Tables of a portfolio have lines; what the audit trail keeps of them has none."""
    text = f"[[strategy]]\nname = '{BAD}'\n" * 200
    asked = Execute(command=Command(id="1", name="add", target=BAD, text=text))
    cleaned = _cleaned(asked)
    assert isinstance(cleaned, Execute)
    assert cleaned.command.text == text
    assert is_printable(cleaned.command.target)
    actor = Actor(uid=1, user="u", role="admin")
    details = command_details(cleaned.command, actor, f"no: {BAD}")
    assert all(is_printable(t) for t in details.values() if isinstance(t, str))
    assert len(details["text"]) <= 1000


def test_a_hello_is_cleaned() -> None:
    """Its client's name is a key and stands in logs."""
    hello = Hello(protocol=PROTOCOL_VERSION, client=BAD, mode=BAD, tty=BAD, ssh=BAD)
    cleaned = _cleaned(hello)
    texts = [t for t in msgspec.structs.astuple(cleaned) if isinstance(t, str)]
    assert len(texts) == 4
    assert all(map(is_printable, texts))
