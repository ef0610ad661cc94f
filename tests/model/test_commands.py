"""The table of commands against everything that names commands."""

import re
from pathlib import Path
from typing import Any, get_args

from typer.main import get_command

from engine.model.views.commands import COMMANDS, CommandName
from engine.runtime.handlers import BESIDE, HANDLERS, Handler
from pmpro_tui.cli.main import build_app
from pmpro_tui.console.actions import ACTIONS
from pmpro_tui.console.context import targeted

DOCS = Path(__file__).parents[2] / "docs"
# Written down here a second time, so that no change of the table alone widens what is obeyed late.
NEVER_TOO_LATE = {"kill", "halt", "flatten"}
LESS_RISK = {"kill", "disable", "halt", "flatten", "close"}
AT_ONCE = {"kill", "halt", "flatten", "close"}
# What the console's actions send, where it has another name.
SENT_BY = {
    "kill_close": "kill",
    "rebase": "resume",
    "faster": "speed",
    "slower": "speed",
    "launch": "backtest",
    "ack_all": "ack",
}
GROUPS = {"strategy": ("add", "remove", "allocate"), "alert": ("ack",)}
OF_CONSOLES_ALONE = {"speed", "backtest", "cancel"}


def test_the_table_has_each_command_of_the_protocol_once() -> None:
    """What travels is in the table, and the table has nothing that cannot travel."""
    assert sorted(COMMANDS) == sorted(get_args(CommandName))
    assert all(kind.name == name for name, kind in COMMANDS.items())


def test_every_command_has_one_handler() -> None:
    """Each command is carried out by its own; only stop works while there is no trader yet."""
    assert sorted([*HANDLERS, *BESIDE, "stop"]) == sorted(COMMANDS)
    at_once = {name for name, handler in HANDLERS.items() if type(handler).apply is Handler.apply}
    assert at_once == {k.name for k in COMMANDS.values() if k.at_once}
    late = {name for name, handler in HANDLERS.items() if overtakes(handler)}
    assert late == {k.name for k in COMMANDS.values() if not k.ages}


def overtakes(handler: Handler) -> bool:
    """Tell whether a handler undoes what waits."""
    return type(handler).overtakes is not Handler.overtakes


def test_what_is_obeyed_late_only_reduces_risk() -> None:
    """A command that does not age, or is in force before the engine's turn, adds no risk."""
    assert {k.name for k in COMMANDS.values() if not k.ages} == NEVER_TOO_LATE
    assert {k.name for k in COMMANDS.values() if k.reduces_risk} == LESS_RISK
    assert {k.name for k in COMMANDS.values() if k.at_once} == AT_ONCE
    for kind in COMMANDS.values():
        assert kind.reduces_risk or (kind.ages and not kind.at_once), kind
        assert kind.role == "operator" or not kind.reduces_risk, kind


def test_the_command_line_has_every_command_and_asks_for_its_target() -> None:
    """Who has no console reaches each command; it has an argument just where there is a target."""
    top = get_command(build_app([])).commands  # type: ignore[attr-defined]
    ways: dict[str, Any] = {n: top[n] for n in top.keys() - OF_CONSOLES_ALONE}
    for group, names in GROUPS.items():
        commands = get_command(build_app([group])).commands[group].commands  # type: ignore[attr-defined]
        ways |= {name: commands[name] for name in names}
    assert set(COMMANDS) - set(ways) == OF_CONSOLES_ALONE
    for kind in COMMANDS.values():
        if kind.name in ways and kind.name != "add":  # what it adds is its text
            named = [p for p in ways[kind.name].params if p.param_type_name == "argument"]
            assert bool(named) is kind.needs_target, kind


def test_the_console_s_actions_are_commands_of_the_table() -> None:
    """An action that is no mere view sends a command, and colours it as the table has it."""
    for action in ACTIONS:
        if action.kind in ("reduce", "add"):
            kind = COMMANDS[SENT_BY.get(action.name, action.name)]
            acknowledges = kind.name == "ack"  # it is no risk either way
            assert (action.kind == "reduce") is (kind.reduces_risk or acknowledges), action.name
            assert kind.needs_target or action.blocked is not targeted, action.name
    assert "stop" in {action.name for action in ACTIONS}


def test_the_pages_name_every_command_and_its_role() -> None:
    """What the reference and the guide say of roles and ages is what the table has."""
    reference = (DOCS / "API_REFERENCE.md").read_text(encoding="utf-8")
    names, admins = re.search(
        r"`Command\.name` is (.*?); (.*?) need role admin", reference
    ).groups()  # type: ignore[union-attr]
    assert sorted(quoted(names)) == sorted(COMMANDS)
    assert set(quoted(admins)) == {k.name for k in COMMANDS.values() if k.role == "admin"}
    late = re.search(r"A command older than 5 s is refused, except (.*?);", reference)
    assert late is not None
    assert set(quoted(late[1])) == NEVER_TOO_LATE
    guide = (DOCS / "USER_GUIDE.md").read_text(encoding="utf-8")
    for role in ("operator", "admin"):
        row = re.search(rf"^\| {role} \| also (.*) \|$", guide, re.MULTILINE)
        assert row is not None
        said = {name.split()[-1] for name in quoted(row[1])}
        assert said == {k.name for k in COMMANDS.values() if k.role == role}


def quoted(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", text)
