"""The reference shows what exists, and the guide leaves nothing out."""

import importlib
import inspect
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
import numpy as np
import pytest

from engine.execution.journal import Journal
from engine.execution.steps import next_step
from engine.kernels.arrays import Arrays
from engine.model.orders import BECOMES
from engine.model.portfolio import Portfolio
from engine.model.reasons import Refusal
from engine.model.views.snapshot import Command, Snapshot, StrategyView
from engine.notify.records import Delivery
from engine.settings.options import AlertChannelOptions, AlertRuleOptions
from engine.settings.sources import option_keys
from engine.store.tables import Base
from engine.terminal.retcodes import LAST_ERRORS, RETCODES
from pmpro_tui.cli.main import LAZY, build_app
from pmpro_tui.console.actions import ACTIONS
from pmpro_tui.console.context import manual_row
from tests.docs.pages import REPO, code_spans, rows

REFERENCE = (REPO / "docs" / "API_REFERENCE.md").read_text(encoding="utf-8")
GUIDE = (REPO / "docs" / "USER_GUIDE.md").read_text(encoding="utf-8")
SEMANTICS = (REPO / "docs" / "SEMANTICS.md").read_text(encoding="utf-8")


class Entry(NamedTuple):
    """A row of the reference: its module, its table's kind, what it names, its cells."""

    module: str
    kind: str
    name: str
    cells: list[str]


def entries() -> Iterator[Entry]:
    """Yield the rows of every module's tables."""
    for part in re.split(r"^### ", REFERENCE, flags=re.MULTILINE)[1:]:
        module, kind = part.splitlines()[0], ""
        for cells in rows(part):
            if not cells[0].startswith("`"):
                kind = cells[1]
                continue
            yield Entry(module, kind, code_spans(cells[0])[0], cells)


def find(module: str, dotted: str) -> Any:
    """Return what a name in a module stands for."""
    found: Any = importlib.import_module(module)
    for part in dotted.split("."):
        found = getattr(found, part)
    return found


def argument_names(thing: Any) -> set[str]:
    """Return the arguments of a function, a kernel or a class."""
    return set(inspect.signature(getattr(thing, "py_func", thing)).parameters)


def field_names(thing: Any) -> set[str]:
    """Return the fields of an array's records, a struct or a named tuple."""
    if isinstance(thing, np.dtype):
        return set(thing.names or ())
    if issubclass(thing, Arrays):
        return set(thing.__annotations__)
    if issubclass(thing, msgspec.Struct):
        return set(thing.__struct_fields__)
    return (
        {member.name for member in thing} if hasattr(thing, "__members__") else set(thing._fields)
    )


_NAMED = [e for e in entries() if e.kind in ("does", "is a")]
_RECORDS = [e for e in entries() if e.kind in ("fields", "values")]


@pytest.mark.parametrize("entry", _NAMED, ids=lambda e: f"{e.module}.{e.name}")
def test_names_and_arguments_exist(entry: Entry) -> None:
    """Who calls what the reference shows meets no AttributeError and no TypeError."""
    name, _, arguments = entry.name.rstrip(")").partition("(")
    thing = find(entry.module, name)
    # `*` alone begins arguments by name only; `*others` is an argument.
    shown = {a.strip().removesuffix("=…").lstrip("*") for a in arguments.split(",")} - {""}
    if shown:
        assert shown <= argument_names(thing)
    if entry.kind == "is a":
        assert thing.__bases__[0].__name__ == code_spans(entry.cells[1])[0]


@pytest.mark.parametrize("entry", _RECORDS, ids=lambda e: f"{e.module}.{e.name}")
def test_fields_are_all_there_and_no_other(entry: Entry) -> None:
    """A record's fields are shown whole."""
    assert set(code_spans(entry.cells[1])) == field_names(find(entry.module, entry.name))


def test_tables_are_all_there_and_no_other(tmp_path: Path) -> None:
    """The database's and the journal's tables are shown whole."""
    shown = {e.name: set(code_spans(e.cells[1])) for e in entries() if e.kind == "columns"}
    assert shown == {t.name: {c.name for c in t.columns} for t in Base.metadata.tables.values()}

    Journal(tmp_path / "journal.sqlite").close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        for entry in (e for e in entries() if e.kind == "holds"):
            columns = {row[1] for row in db.execute(f"PRAGMA table_info({entry.name})")}
            assert set(code_spans(entry.cells[1])) <= columns, entry.name


def section(text: str, title: str) -> str:
    """Return what stands under a heading of second level."""
    return text.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def test_the_guide_names_every_option() -> None:
    """No option is known to the code alone, and none is shown that is not there."""
    shown = [code_spans(cells[0]) for cells in rows(section(GUIDE, "Configuration"))[1:]]
    assert [name for names in shown for name in names] == option_keys()


def test_the_guide_names_every_key_and_word_of_alerts() -> None:
    """Rules, channels and what becomes of a delivery."""
    alerts = section(GUIDE, "Alerts")
    shown = {name for cells in rows(alerts) for name in code_spans(cells[0])}
    assert {*AlertRuleOptions.model_fields, *AlertChannelOptions.model_fields} <= shown
    words = {cells[0] for cells in rows(alerts)}
    assert {"HELD", "NONE", *get_args(get_type_hints(Delivery)["state"])} <= words


def structs(kind: Any) -> Iterator[Any]:
    """Yield the structs that a type holds, itself first."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        kinds = list(get_type_hints(kind).values())
    else:
        kinds = list(get_args(kind))
    for inner in kinds:
        yield from structs(inner)


def test_the_guide_names_every_key_of_a_portfolio() -> None:
    """A portfolio file holds nothing that the guide does not explain."""
    shown = set(code_spans(section(GUIDE, "The portfolio file")))
    tables = {"account", "symbols", "risk", "strategy", "book", "allocation"}
    fields = {name for kind in structs(Portfolio) for name in kind.__struct_fields__}
    assert fields - shown - tables - {"risk_frac", "lots"} == set()
    assert {"[account]", "[symbols.NAME]", "[risk]", "[[strategy]]", "[[book]]"} <= shown


def test_the_guide_lists_exactly_the_actions_of_the_console() -> None:
    """The guide's table of keys is the console's table of actions, row by row."""
    lines = GUIDE.splitlines()
    table = lines[lines.index("| key | does | asks |") + 2 :][: len(ACTIONS) + 1]
    assert table == [*map(manual_row, ACTIONS), ""]


def test_the_guide_explains_every_state() -> None:
    """No word appears on the screen that the guide does not explain."""
    explained = {cells[0] for cells in rows(section(GUIDE, "The console"))}
    for view, field in ((StrategyView, "state"), (Snapshot, "state")):
        assert set(get_args(get_type_hints(view)[field])) <= explained


def test_the_guide_names_every_command() -> None:
    """Each command of `pmpro` stands in the table of one-shot commands."""
    shown = " ".join(" ".join(cells) for cells in rows(section(GUIDE, "One-shot commands")))
    app = build_app([])
    names = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert set(LAZY) <= set(names)
    for name in (*names, *get_args(get_type_hints(Command)["name"])):
        assert name == "speed" or re.search(rf"\b{name}\b", shown), name


def test_every_rule_is_explained() -> None:
    """Each rule that refuses an entry stands in the table of rules, in no other words."""
    risk = SEMANTICS.split("\n## 7.")[1].split("\n## 8.")[0]
    rules = [code_spans(cells[0])[0] for cells in rows(risk)[1:]]
    assert set(rules) == {r.name for r in Refusal if r}


def test_the_table_of_answers_is_the_code_s() -> None:
    """SEMANTICS.md §8 says of every code what the code does after it, and of every state."""
    orders = SEMANTICS.split("\n## 8.")[1].split("\n## 9.")[0]
    told = {}
    for answers, step, n_sends, wait_s, pause_minutes in (r for r in rows(orders) if len(r) == 5):
        for code in code_spans(answers):
            name = answers.split(f"`{code}` ")[1].split(",")[0]
            told[int(code)] = (name, step, float(n_sends), float(wait_s), float(pause_minutes))
    assert told == {
        code: (
            verdict.name,
            next_step(verdict, 1, closing=False) + ", entries halted" * verdict.halts_entries,
            verdict.n_sends,
            verdict.wait_s,
            verdict.pause_s / 60,
        )
        for code, verdict in {**RETCODES, **LAST_ERRORS}.items()
    }
    states = {r[0].strip("`"): set(code_spans(r[2])) for r in rows(orders) if len(r) == 3}
    states.pop("state")
    assert states == {s.name: {after.name for after in ends} for s, ends in BECOMES.items()}
