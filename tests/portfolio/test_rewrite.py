"""The operator's file, rewritten: comments and order are kept, whatever commands change."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.portfolio import Portfolio
from engine.portfolio.edit import with_added, with_share, without
from engine.portfolio.file import parse_portfolio
from engine.portfolio.rewrite import LENGTH_MAX, rewritten
from engine.portfolio.running import NAME, read_running, write_running
from engine.portfolio.text import plain
from tests.conftest import REPO

FILE = """\
# Mine: do not touch before Friday.
server_clock = "UTC" # the broker says so

[allocation] # by hand
method = "manual" # never "score"
# end of the shares' section

# --- trend
[[strategy]] # the first
name = "a"
kind = "macd"
# tried 12: worse
symbol = "EURUSD"   # the spread is small
# params = { fast = 9 }

# about b
[[strategy]]
name = "b"
kind = "macd"
symbol = "EURUSD"
[strategy.params] # found in May
fast = 3 # quick
note = \"\"\"
[[strategy]]
# no comment\"\"\"

# about x
[[book]]
members = { a = 0.25, b = 0.75 } # three to one
name = "x" # below its members

# --- the others
[[strategy]]
name = 'c' # in single quotes
symbol = "USDJPY"
kind = "macd"
[[strategy]]
name = "d"
kind = "macd"
symbol = "USDJPY"

[risk]
closed_days = [ # not these
  "2025-12-25", # Christmas
]
# the end
"""
SPEC = {"name": "e", "kind": "macd", "symbol": "EURUSD", "params": {"fast": 4}}
OF_A = {' # the first"', "# tried 12: worse", "# the spread is small", "# the first"}
OF_B = {"# found in May", "# quick"}
OF_C = {"# in single quotes"}
OF_X = {"# three to one", "# below its members"}


def comments(text: str) -> list[str]:
    """Return the comments of FILE, or of what was made of it, in order."""
    lines = text.replace("# no comment", "").splitlines()
    return ["#" + line.partition("#")[2] for line in lines if "#" in line]


def changed(text: str, portfolio: Portfolio) -> str:
    new = rewritten(text, portfolio)
    assert new is not None
    assert parse_portfolio(new, "new") == portfolio
    return new


BEFORE = parse_portfolio(FILE, "FILE")


def test_nothing_changed_is_the_same_text() -> None:
    """Byte by byte, spacing and quotes included."""
    assert rewritten(FILE, BEFORE) == FILE


@pytest.mark.parametrize(
    ("target", "gone"),
    [("a", OF_A), ("b", OF_B), ("c", OF_C), ("d", set()), ("x", OF_A | OF_B | OF_X)],
)
def test_a_removal_takes_the_table_s_own_comments_only(target: str, gone: set[str]) -> None:
    """What stands between tables is about more than one of them: it stays, in its order."""
    new = changed(FILE, without(BEFORE, target))
    assert comments(new) == [text for text in comments(FILE) if text not in gone]


def test_an_addition_is_one_block_more() -> None:
    """A strategy follows the last one of its list; no other line is touched."""
    new = changed(FILE, with_added(BEFORE, {"strategy": [SPEC]}))
    block = '\n[[strategy]]\nname = "e"\nkind = "macd"\nsymbol = "EURUSD"\nparams = { fast = 4 }\n'
    assert new == FILE.replace("\n[risk]", f"{block}\n[risk]")
    assert changed(new, without(parse_portfolio(new, "new"), "e")) == FILE


def test_a_book_that_gets_a_member_and_a_symbol_keep_their_lines() -> None:
    """The line's comment stays beside the changed members, and what is new goes to the end."""
    tables = {
        "strategy": [SPEC],
        "book": [{"name": "x", "members": {"e": 0.5}}, {"name": "y", "members": {"f": 1.0}}],
        "symbols": {
            "X.Y": {"digits": 2, "contract_size": 10.0, "base": "EUR", "profit_currency": "USD"}
        },
    }
    tables["strategy"].append({"name": "f", "kind": "macd", "symbol": "USDJPY"})  # type: ignore[attr-defined]
    new = changed(FILE, with_added(BEFORE, tables))
    assert comments(new) == comments(FILE)
    [line] = [line for line in new.splitlines() if "three to one" in line]
    assert line.startswith("members = { a = 0.25, b = 0.75")
    assert '[symbols."X.Y"]\n' in new
    assert new.index('name = "x"') < new.index('name = "y"')


@pytest.mark.parametrize(
    "shares",
    [
        "",
        "shares = { x = 0.5, c = 0.25, d = 0.25 } # half",
        "shares.x = 0.5 # half\nshares.c = 0.25\nshares.d = 0.25",
        "[allocation.shares] # of three\nx = 0.5 # half\n# low\nc = 0.25\nd = 0.25 # low too",
    ],
)
def test_a_share_is_set_where_shares_are_written(shares: str) -> None:
    """In the line, the dotted keys or the table that the operator chose; twice as well as once."""
    section = '[allocation] # by hand\nmethod = "manual" # never "score"\n'
    file = FILE.replace(section, f"{section}{shares}\n")
    first = parse_portfolio(file, "file")
    once = changed(file, with_share(first, "c", 0.5))
    assert comments(once) == comments(file)
    inside = with_share(parse_portfolio(once, "once"), "a", 0.5)
    twice = changed(once, inside)
    assert comments(twice) == comments(file)
    gone = changed(twice, without(inside, "d"))
    assert set(comments(file)) - set(comments(gone)) <= {"# low too"}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("remove"), st.sampled_from("abcdxe")),
            st.tuples(st.just("add"), st.sampled_from("efg")),
            st.tuples(st.just("share"), st.sampled_from("abcdxefg")),
        ),
        max_size=6,
    )
)
def test_any_changes_one_after_the_other_keep_every_comment_between_tables(
    steps: list[tuple[str, str]],
) -> None:
    """The text is always the portfolio's, and the comments that stay are in the file's order."""
    from engine.model.errors import ConfigError

    text, now = FILE, BEFORE
    for step, name in steps:
        try:
            if step == "remove":
                then = without(now, name)
            elif step == "add":
                then = with_added(now, {"strategy": [SPEC | {"name": name}]})
            else:
                then = with_share(now, name, 0.375)
        except ConfigError:
            continue
        text, now = changed(text, then), then
    inside = OF_A | OF_B | OF_C | OF_X
    kept = comments(text)
    assert [c for c in kept if c not in inside] == [c for c in comments(FILE) if c not in inside]
    assert kept == [c for c in comments(FILE) if c in kept]
    assert "\n\n\n" not in text


def test_the_running_portfolio_has_the_operator_s_comments(tmp_path: Path) -> None:
    """After each change of several, from a file with a byte-order mark and line ends of Windows."""
    file, state = tmp_path / "p.toml", tmp_path / "state"
    state.mkdir()
    file.write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    now = read_running(file, state)[0]
    for change in (
        lambda p: with_added(p, {"strategy": [SPEC]}),
        lambda p: with_share(p, "c", 0.5),
        lambda p: without(p, "e"),
    ):
        now = change(now)
        write_running(now, file, state)
        assert read_running(file, state)[0] == now
        text = (state / NAME).read_text(encoding="utf-8")
        assert comments(text)[-len(comments(FILE)) :] == comments(FILE)
    assert text.count("# The running portfolio") == 1


@pytest.mark.parametrize(
    "text",
    [
        "not TOML at all [",
        f"{FILE}#{'x' * LENGTH_MAX}\n",
        'strategy = [{ name = "a", kind = "macd", symbol = "EURUSD" }]\n',
        "",
    ],
)
def test_what_cannot_be_edited_is_written_anew(text: str, tmp_path: Path) -> None:
    """A change is never lost for a comment: the file says that the comments are not in it."""
    file, state = tmp_path / "p.toml", tmp_path / "state"
    state.mkdir()
    file.write_text(text, encoding="utf-8")
    now = with_added(BEFORE, {"strategy": [SPEC]})
    write_running(now, file, state)
    kept = (state / NAME).read_text(encoding="utf-8")
    assert parse_portfolio(kept, "kept") == now
    assert "# Its comments could not be kept: that file has them.\n" in kept


def test_the_order_is_part_of_what_is_said() -> None:
    """Equal values in another order are another portfolio: the core's arrays follow the file."""
    members = msgspec.structs.replace(BEFORE.book[0], members={"b": 0.75, "a": 0.25})
    assert rewritten(FILE, msgspec.structs.replace(BEFORE, book=[members])) is None
    assert plain(BEFORE)["book"][0]["members"] == {"a": 0.25, "b": 0.75}


def test_the_engine_does_not_import_the_editor() -> None:
    """tomlkit is imported by a change of the portfolio, never on the way of a batch."""
    code = (
        "import sys, engine.runtime.engine, engine.portfolio.rewrite\n"
        "sys.exit('tomlkit' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, timeout=60)
