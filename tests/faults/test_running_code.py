"""What runs has a name that stands with every order; what is not what runs enters nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.execution.journal import Outbox
from engine.hosts.builder import Builder, Plan
from engine.hosts.running_code import PACKAGES, RunningCode, name_of, program_hash
from engine.model.errors import Refused
from engine.model.records import OrderRow
from engine.store.migrate import head
from engine.views.parts import strategy_views
from tests.conftest import REPO
from tests.faults.bench import Bench
from tests.faults.commanding import order

Make = Callable[..., Bench]


def test_the_name_changes_with_each_part() -> None:
    """Another program, schema, compiler or strategy file is another name; the same is the same."""
    files = {"/own/a.py": b"one"}
    code = RunningCode(lambda: files, program=lambda: "p1")
    first, parts = code.name(), code.parts()
    assert code.name() == first == name_of(parts)
    assert parts["schema"] == head()
    assert parts["strategy_files"]["/own/a.py"].startswith("7692c3ad3540bb80")  # sha256 of "one"
    names = {first}
    for part in parts:
        names.add(name_of(parts | {part: "other"}))
    files["/own/a.py"] = b"two"
    names.add(code.name())
    assert len(names) == len(parts) + 2


def test_a_change_of_any_source_is_noticed(tmp_path: Path) -> None:
    """A file that is edited, added or removed under a running engine is another program."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        shutil.copy(REPO / "engine" / "model" / "errors.py", tmp_path / package / "a.py")
    code = RunningCode(dict, program=lambda: program_hash(tmp_path))
    assert code.fault() == ""
    file = tmp_path / "engine" / "a.py"
    content = file.read_bytes()
    for change in (lambda: file.write_bytes(content + b"\n"), file.unlink):
        change()
        assert "changed while it runs: restart the engine" in code.fault()
        file.write_bytes(content)
        assert code.fault() == ""
    (tmp_path / "strategies" / "b.py").touch()
    assert code.fault()


def test_no_host_is_started_of_another_program(tmp_path: Path) -> None:
    """A spare of an edited program would decide otherwise than what it stands in for."""
    builder = Builder(tmp_path, "UTC", 0, (), lambda: "the program's files were changed")
    assert builder.build(Plan((), {}, {})).worker is None
    assert not list(tmp_path.iterdir())


def orders(bench: Bench) -> list[OrderRow]:
    outbox = Outbox(bench.journal.path)
    rows = [entry.record for entry in outbox.entries(0, 100_000)]
    outbox.close()
    return [row for row in rows if isinstance(row, OrderRow)]


def test_every_order_has_the_name_of_what_decided_it(make_bench: Make) -> None:
    """Entries and exits, each that of its own time."""
    bench = make_bench({"a": "LLFLLF"})
    bench.trader.code = "first"
    bench.step(1)
    bench.trader.code = "second"
    bench.step(3)
    settled = {(row.action, row.code) for row in orders(bench)}
    assert ("OPEN", "first") in settled
    assert ("CLOSE", "second") in settled
    assert "" not in {code for _, code in settled}


def test_what_is_not_what_runs_enters_nothing_and_exits(make_bench: Make) -> None:
    """A schema or program of another version stops entries, is not resumed away, and lets go."""
    bench = make_bench({"a": "LLLFFF", "b": "FFLLLL"})
    bench.step(1)
    bench.trader.pauses.mismatches = {"schema": "the database's schema is 9999"}
    bench.step(1)
    with pytest.raises(Refused, match="schema is 9999"):
        order(bench, "resume")
    bench.step(2)
    assert bench.held == []  # `a` has left, `b` has not entered
    view = next(v for v in strategy_views(bench.trader) if v.name == "b")
    assert view.detail == "no entries: the database's schema is 9999"
    bench.trader.pauses.mismatches = {}
    order(bench, "resume")
    bench.step(2)
    assert [p.magic >> 32 for p in bench.held] == [2]


def test_a_strategy_whose_file_is_another_enters_nothing(make_bench: Make) -> None:
    """The others trade on; it exits as it would, and enters again once its file is what runs."""
    bench = make_bench({"a": "FLLLLL", "b": "FLLLLL"})
    bench.trader.pauses.outdated["a"] = "no entries: a.py on the disk is not what runs"
    bench.step(3)
    assert [p.magic >> 32 for p in bench.held] == [2]
    view = next(v for v in strategy_views(bench.trader) if v.name == "a")
    assert view.detail == "no entries: a.py on the disk is not what runs"
    bench.trader.pauses.outdated.clear()
    bench.step(2)
    assert sorted(p.magic >> 32 for p in bench.held) == [1, 2]
