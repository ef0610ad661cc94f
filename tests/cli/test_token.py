"""Personal tokens: shown once, kept as hashes in a file that nobody else can read."""

import json
import stat
from pathlib import Path

import pytest

from engine.model.errors import ConfigError
from engine.settings.access import Tokens, roles_by_uid
from engine.settings.settings import load_settings
from tests.cli.conftest import Pmpro


@pytest.fixture
def file(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this home keeps its tokens."""
    monkeypatch.setenv("PMPRO_CONTROL__TOKENS_FILE", str(home / "tokens"))
    return home / "tokens"


def test_a_token_is_shown_once_and_kept_as_a_hash(file: Path, pmpro: Pmpro) -> None:
    """The file never holds a token, is its owner's alone, and a new token voids the former."""
    first = json.loads(pmpro("token", "add", "alice", "--json").stdout)["token"]
    second = pmpro("token", "add", "alice").stdout.splitlines()[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first not in file.read_text()
    assert second not in file.read_text()
    tokens = Tokens(file, "option")
    assert [tokens.person(t) for t in (first, second, "")] == [None, "alice", None]


def test_removing_the_last_person_lets_nobody_in(file: Path, pmpro: Pmpro) -> None:
    """Who is removed is out at once; without anybody the commands stay closed."""
    token = json.loads(pmpro("token", "add", "alice", "--json").stdout)["token"]
    assert json.loads(pmpro("token", "list", "--json").stdout) == {"names": ["alice"]}
    assert pmpro("token", "remove", "alice").returncode == 0
    assert Tokens(file, "option").person(token) is None
    assert "no token of 'alice'" in pmpro("token", "remove", "alice").stderr


@pytest.mark.parametrize(
    ("text", "mode", "complaint"),
    [("alice sha256:" + "0" * 64, 0o640, "chmod 600"), ("alice hunter2", 0o600, "line 1")],
)
def test_a_file_that_is_not_right_is_refused(
    file: Path, text: str, mode: int, complaint: str
) -> None:
    """Tokens in a file that others read, or that holds something else, let nobody in."""
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=complaint):
        Tokens(file, "option").person("x")


def test_without_a_file_it_says_where_to_name_one(home: Path, pmpro: Pmpro) -> None:
    """One line says which option is missing; exit code 2."""
    done = pmpro("token", "list")
    assert done.returncode == 2
    assert "control.tokens_file" in done.stderr


def test_roles_are_given_by_login(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins become uids once; an unknown one and a second role are errors that name the option."""
    monkeypatch.setenv("PMPRO_CONTROL__VIEWERS", "nobody, daemon")
    assert set(roles_by_uid(load_settings()).values()) == {"viewer"}
    monkeypatch.setenv("PMPRO_CONTROL__ADMINS", "daemon")
    with pytest.raises(ConfigError, match="PMPRO_CONTROL__ADMINS: daemon has role viewer too"):
        roles_by_uid(load_settings())
    monkeypatch.setenv("PMPRO_CONTROL__ADMINS", "no-such-login")
    with pytest.raises(ConfigError, match="no user 'no-such-login'"):
        roles_by_uid(load_settings())
