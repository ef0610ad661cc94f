"""Configuration files of any content: each is taken, or refused in one line that names the key."""

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.model.errors import ConfigError
from engine.model.times import FAR_NS, from_datetime
from engine.portfolio.text import toml_text
from engine.settings.settings import load_settings
from engine.settings.sources import nested, option_keys

ANY = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
_VALUES = st.one_of(
    st.sampled_from([0, 1, -1, 2**63, 10**400, 0.0, -0.0, 1e-320, 1e300, math.inf, math.nan]),
    st.sampled_from([True, [], {}, [[]], [{}], {"x": 1}, "", "a", "a\nb", "\0", "UTC+99", "/"]),
    st.sampled_from(["9999-12-31", "0001-01-01T00:00:00+14:00", "~nobody/x", "live", "a=b", "é"]),
    st.floats(),
    st.text(max_size=10),
)


def taken_or_refused(path: Path) -> str:
    """Read a configuration; return the refusal, "" where it is taken."""
    try:
        start = load_settings(path).demo.start
        assert start is None or from_datetime(start) < FAR_NS
    except ConfigError as error:
        message = str(error)
    else:
        return ""
    assert message.isprintable()
    assert len(message) < 2000
    return message


@ANY
@given(st.sampled_from(option_keys()), _VALUES)
@example("demo.start", "9999-12-31")
def test_any_value_of_any_key(home, key, value):
    """One key is anything."""
    (home / "config.toml").write_text(toml_text(nested({key: value})), encoding="utf-8")
    taken_or_refused(home / "config.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("mode = 'demo'".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"mode = 'd\xe9mo'", "line 1: byte 0xe9 is not UTF-8"),
        (b"mode = 'demo'\0", "not TOML"),
        (b"a = " + b"[" * 50_000, "nested too deep"),
        (b"a." * 50_000 + b"b = 1", "nested deeper than 40"),
        (b"[demo]\nstart = 9999-12-31T00:00:00Z", "write a date from 1970-01-01 to 2169-12-31"),
        (b"# " + b"x" * 3_000_000, "longer than 2,000,000 bytes"),
    ],
)
def test_what_is_no_configuration_is_told_as_what_it_is(home, content, words):
    """Encodings, NUL bytes, depth, length."""
    (home / "config.toml").write_bytes(content)
    assert words in taken_or_refused(home / "config.toml")


def test_a_demo_s_start_without_a_zone_is_utc(home):
    """As every other time."""
    (home / "config.toml").write_text("[demo]\nstart = 2018-03-06T08:00:00")
    start = load_settings(home / "config.toml").demo.start
    assert start is not None
    assert start.isoformat() == "2018-03-06T08:00:00+00:00"


def test_a_byte_order_mark_and_windows_lines_say_nothing(home):
    """Editors on other systems write them."""
    (home / "config.toml").write_bytes(b"\xef\xbb\xbf[demo]\r\nseed = 7\r\n")
    assert load_settings(home / "config.toml").demo.seed == 7
