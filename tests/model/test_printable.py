"""Text of others: no character of it does anything but stand there, and none is lost unsaid."""

import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.printable import (
    NAME_MAX_CHARS,
    TEXT_MAX_CHARS,
    described,
    is_printable,
    printable,
    printable_name,
    printable_record,
    printable_value,
)

ANY_TEXT = st.text(st.characters(), max_size=400) | st.text(
    st.sampled_from("a \x1b\x9b\x00\x7f\n\r\t\u202e\u2066\u200b\ufeff\ud83d\udcff\u2028é漢"),
    max_size=400,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x \x1b[31mred\x1b[0m", r"x \x1b[31mred\x1b[0m"),
        ("title \x1b]0;OWNED\x07", r"title \x1b]0;OWNED\x07"),
        ("C1 \x9b31m", r"C1 \x9b31m"),
        ("NUL \x00, DEL \x7f", r"NUL \x00, DEL \x7f"),
        ("one\ntwo\r\nthree\tfour", r"one\ntwo\r\nthree\tfour"),
        ("\x85 \u2028 \u2029", r"\x85 \u2028 \u2029"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\u2066isolate\u2069", r"\u2066isolate\u2069"),
        ("EUR\u200bUSD \ufeff", r"EUR\u200bUSD \ufeff"),
        ("so\u00adft \u2060 \u061c", r"so\xadft \u2060 \u061c"),
        ("half \ud83d, byte \udcff", r"half \ud83d, byte \udcff"),
        ("filler \u3164\u115f, joiner \u034f", r"filler \u3164\u115f, joiner \u034f"),
        ("tag \U000e0041 \ue000 \uffff", r"tag \U000e0041 \ue000 \uffff"),
        ("variation \ufe0f", r"variation \ufe0f"),
    ],
)
def test_what_is_not_visible_is_written_out(text, shown):
    """Control characters, overrides, zero widths and half characters stand there in letters."""
    assert printable(text) == shown
    assert not is_printable(text)


@pytest.mark.parametrize(
    "text",
    ["", "EURUSD.r", "l'ordre n° 7 à 1\u00a0000 €", "漢字 кириллица שלום", "🙂 ½ −3", r"\x1b"],
)
def test_what_people_write_stays(text):
    """Letters, marks, spaces and signs of every script are as they were."""
    assert printable(text) == text


@given(ANY_TEXT, st.sampled_from([8, 64, NAME_MAX_CHARS, TEXT_MAX_CHARS]))
def test_a_clean_text_is_short_encodable_and_stays_as_it_is(text, most_chars):
    """Whatever comes in: no control, format, surrogate or separator of lines; bounded; stable."""
    clean = printable(text, most_chars)
    assert len(clean) <= most_chars
    assert not {unicodedata.category(c) for c in clean} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert printable(clean, most_chars) == clean
    assert is_printable(clean) or "Zs" in {unicodedata.category(c) for c in clean}
    msgspec.msgpack.encode(clean)
    json.dumps(clean).encode("ascii")


def test_a_long_text_says_how_much_of_it_is_missing():
    """Five megabytes are two thousand characters and the number of those that are not there."""
    clean = printable("x" * 5_000_000)
    assert len(clean) <= TEXT_MAX_CHARS
    kept, _, rest = clean.partition("…")
    assert rest == f" ({5_000_000 - len(kept):,} more)"
    escaped = printable("\x1b" * TEXT_MAX_CHARS)
    kept, _, rest = escaped.partition("…")
    assert rest == f" ({TEXT_MAX_CHARS - len(kept) // 4:,} more)"
    assert printable("y" * 100, 10) == "y" * 9 + "…"


def test_documents_and_records_are_cleaned_to_their_leaves():
    """Keys, lists, tables and records within records; what is clean is the very same object."""

    class Inner(msgspec.Struct):
        name: str

    class Outer(msgspec.Struct, frozen=True):
        comment: str
        inner: Inner
        names: tuple[str, ...] = ()
        n: int = 3

    document = {"ke\ny": ["a\x00", {"b": "\x1b"}], "n": float("nan"), "t": ("\r", 1)}
    assert repr(printable_value(document)) == (
        r"{'ke\\ny': ['a\\x00', {'b': '\\x1b'}], 'n': nan, 't': ('\\r', 1)}"
    )
    record = printable_record(Outer("c\x07", Inner("i\x9b"), ("\u202e",)))
    assert (record.comment, record.inner.name, record.names) == (r"c\x07", r"i\x9b", (r"\u202e",))
    clean = Outer("c", Inner("i"), ("n",))
    assert printable_record(clean) is clean
    kept = {"a": [1, "b", ("c",)]}
    assert printable_value(kept) is kept
    assert printable_value({"\x00": 1, "\\x00": 2}) in ({"\\x00": 2}, {"\\x00": 1})


class _Raises(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class _Recurses(Exception):
    def __str__(self):
        return str(self)


class _Exits(Exception):
    def __str__(self):
        raise SystemExit(3)


class _Wrong(Exception):
    def __str__(self):
        return 7  # noqa: PLE0307


class _Liar(str):
    __slots__ = ()

    def isprintable(self):
        return True

    def isascii(self):
        return True

    def __len__(self):
        return 0

    def __getitem__(self, item):
        return self

    def __iter__(self):
        return iter(())


class _Lies(Exception):
    def __str__(self):
        return _Liar("\x1b[2J")


class _Meta(type):
    @property
    def __name__(cls):
        raise ValueError("nameless")


class _Nameless(Exception, metaclass=_Meta):
    pass


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("bad \udcff"), r"ValueError: bad \udcff"),
        (KeyError("k"), "KeyError: 'k'"),
        (MemoryError(), "MemoryError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (_Raises(), "_Raises (its text cannot be read: RuntimeError)"),
        (_Recurses(), "_Recurses (its text cannot be read: RecursionError)"),
        (_Exits(), "_Exits (its text cannot be read: SystemExit)"),
        (_Wrong(), "_Wrong (its text cannot be read: TypeError)"),
        (_Lies(), r"_Lies: \x1b[2J"),
        (_Nameless("x"), "_Nameless: x"),
        (type("A\x1bB", (Exception,), {})("x"), r"A\x1bB: x"),
    ],
    ids=lambda x: "",
)
def test_every_error_has_a_description(error, words):
    """Whatever an exception's class does when it is asked for its text, a clean line comes out."""
    text = described(error)
    assert text == words
    assert type(text) is str


def test_a_description_may_be_the_text_alone_and_is_bounded():
    """Errors of our own name themselves in their text; nobody's text is endless."""
    assert described(ValueError("said\x07"), bare=(ValueError,)) == r"said\x07"
    assert len(described(ValueError("x" * 10**7))) <= TEXT_MAX_CHARS
    assert printable_name("n" * 1000).endswith("more)")
