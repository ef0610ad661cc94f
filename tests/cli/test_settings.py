"""Settings: where a value comes from, and what a mistake says."""

import os
import re
from pathlib import Path

import pytest

from engine.model.errors import ConfigError, StateError
from engine.settings.settings import Settings, load_settings
from engine.settings.sources import option_keys, variable_of

pytestmark = pytest.mark.usefixtures("home")

PRINT = "sha256:" + 64 * "0"
REMOTE = "mode = 'paper'\n[terminal]\nmodule = 'mt5'\nhost = 'box'\n"


def config(text: str) -> Path:
    path = Path("config.toml")
    path.write_text(text)
    return path


def secret(path: str, mode: int = 0o600) -> Path:
    file = Path(path)
    file.write_text("hunter2\n")
    file.chmod(mode)
    return file


def test_command_line_beats_environment_beats_file_beats_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each layer wins over those below it, key by key, and leaves their other keys alone."""
    path = config("[demo]\nseed = 2\nspeed = 2.0\n[log]\nlevel = 'debug'\n")
    monkeypatch.setenv("PMPRO_DEMO__SPEED", "3")
    monkeypatch.setenv("PMPRO_LOG__LEVEL", "warning")

    settings = load_settings(path, overrides={"log.level": "error", "demo.data": None})

    assert settings.demo.seed == 2
    assert settings.demo.speed == 3.0
    assert settings.log.level == "error"
    assert settings.terminal.poll_ms == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "terminl = 1",
            r'config\.toml: key "terminl" is unknown; did you mean terminal\? allowed: .*mode',
        ),
        (
            "[demo]\nsped = 1",
            r'key "demo\.sped" is unknown; did you mean speed\? allowed: data, faults, seed',
        ),
        ("[demo]\nseed = '1'", r'key "demo\.seed" must be a whole number, not \'1\''),
        ("[demo]\nspeed = true", r'key "demo\.speed" must be a number, not True'),
        ("[demo]\nspeed = nan", r'key "demo\.speed" must be a finite number'),
        ("[demo]\nspeed = 0", r'key "demo\.speed" must be greater than 0, not 0'),
        ("[demo]\nfaults = 'hangs'", r"key \"demo\.faults\" fault 'hangs' is not understood"),
        ("[terminal]\npath = 3", r'key "terminal\.path" must be a .* in quotes, not 3'),
        ("[terminal]\nserver_clock = 'Mars'", r'key "terminal\.server_clock" server clock .*Mars'),
        ("mode = 'lve'", r"key \"mode\" must be 'demo', 'paper' or 'live', not 'lve'"),
        ("demo = 5", r'key "demo" must be a table with keys seed, speed'),
        ("mode = \n", r"config\.toml: not TOML: .*line 1"),
        (
            "[terminal]\npassword = 'hunter2'",
            r'"terminal\.password" is a secret .*PMPRO_TERMINAL__',
        ),
        ("[database]\nurl = 'hunter2'", r'"database\.url" is a secret .*PMPRO_DATABASE__URL'),
        ("mode = 'live'", r'key "mode" is live, which needs terminal\.module = "mt5"'),
        ("mode = 'live'\n[terminal]\nmodule = 'mt5'", r"needs terminal\.login"),
        ("[terminal]\nmodule = 'mt5'", r"terminal\.module.* is mt5, but the demo is simulated"),
        ("[terminal]\nhost = 'box'", r'terminal\.host.* needs terminal\.module = "mt5"'),
        (REMOTE, r"terminal\.host.* needs terminal\.fingerprint"),
        (f"{REMOTE}fingerprint = 'x'", r"terminal\.fingerprint\" must be sha256: and 64"),
        (f"{REMOTE}fingerprint = '{PRINT}'", r"terminal\.host.* needs a token"),
        (f"{REMOTE}token = 'hunter2'", r'"terminal\.token" is a secret .*PMPRO_TERMINAL__TOKEN'),
        ("[database]\nurl_file = 'u'", r"url_file.* contradicts database\.embedded = true"),
        ("[database]\nembedded = false", r"embedded.* is false, which needs a URL"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_file_key_and_what_is_allowed(
    text: str, message: str
) -> None:
    """Unknown keys, wrong types, secrets and contradictions never start an engine."""
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(config(text))

    line = str(caught.value)
    assert "\n" not in line
    assert "config.toml" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PMPRO_DEMO__SPED", "1", r"PMPRO_DEMO__SPED is unknown; did you mean PMPRO_DEMO__SPEED\?"),
        ("PMPRO_DEMO", "{}", r"PMPRO_DEMO is unknown"),
        ("PMPRO_DEMO__SEED", "x", r"environment: PMPRO_DEMO__SEED must be a whole number, not 'x'"),
        ("PMPRO_MODE", "x", r"environment: PMPRO_MODE must be 'demo', 'paper' or 'live'"),
        ("PMPRO_DATABASE__URL", "hunter2", r"PMPRO_DATABASE__URL contradicts database\.embedded"),
        ("PMPRO_TERMINAL__PASSWORD", "hunter2", r"PMPRO_TERMINAL__PASSWORD and .*exclude"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator reads which variable to correct, and no secret."""
    monkeypatch.setenv(name, value)
    path = config("[terminal]\npassword_file = 'p'\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(path)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_every_option_can_be_set_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No option of the file is out of reach of the environment."""
    values = {
        "mode": "paper",
        "terminal.module": "mt5",
        "terminal.symbol_names": "XAUUSD=GOLD",
        "terminal.fingerprint": "sha256:" + 64 * "7",
        "terminal.server_clock": "UTC+2",
        "database.embedded": "false",
        "log.level": "debug",
        "demo.start": "2018-03-06T08:00:00Z",
        "demo.faults": "requote",
        "console.theme": "light",
        "console.zone": "Europe/Berlin",
        "alerts.rule": '[{"name": "r"}]',
        "alerts.channel": '[{"name": "c"}]',
    }
    secrets = ("terminal.password", "terminal.token", "database.url", "alerts.urls")
    skipped = {f"{key}_file" for key in secrets}
    for key in set(option_keys()) - skipped:
        monkeypatch.setenv(variable_of(key), values.get(key, "7"))

    settings = load_settings()

    for key in set(option_keys()) - skipped:
        section, _, name = key.rpartition(".")
        holder = getattr(settings, section) if section else settings
        assert name in holder.model_fields_set, key


def test_secrets_come_from_the_environment_or_a_private_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways give the password, and neither shows it in a repr."""
    secret("pw")
    from_file = load_settings(config("[terminal]\npassword_file = 'pw'\n"))
    monkeypatch.setenv("PMPRO_TERMINAL__PASSWORD", "hunter2")
    from_environment = load_settings(config(""))

    for settings in (from_file, from_environment):
        password = settings.terminal_password()
        assert password is not None
        assert password.get_secret_value() == "hunter2"
        assert "hunter2" not in f"{settings!r} {settings} {password} {settings.model_dump()}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_secret_that_others_may_touch_is_refused(mode: int) -> None:
    """A password file with any bit for group or others is not read."""
    secret("pw", mode)
    settings = load_settings(config("[terminal]\npassword_file = 'pw'\n"))
    with pytest.raises(ConfigError, match=rf"password_file\": .*pw has mode {mode:o}.* chmod 600"):
        settings.terminal_password()


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "empty", "binary"])
def test_a_secret_that_is_not_a_readable_text_file_is_refused(kind: str) -> None:
    """Nothing blocks and nothing but a file's text becomes a password."""
    path = Path("url")
    if kind == "directory":
        path.mkdir(mode=0o700)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind in ("empty", "binary"):
        path.write_bytes(b"" if kind == "empty" else b"\xff\xfe")
        path.chmod(0o600)
    settings = load_settings(config("[database]\nembedded = false\nurl_file = 'url'\n"))
    with pytest.raises(ConfigError, match=r'key "database\.url_file": .*url'):
        settings.database_url()


def test_paths_of_the_file_are_relative_to_it_and_others_to_the_working_directory(
    home: Path,
) -> None:
    """A configuration means the same wherever pmpro is started."""
    (home / "etc").mkdir()
    path = home / "etc" / "config.toml"
    path.write_text("state_dir = 'st'\nportfolio = '~/p.toml'\n[demo]\ndata = 'bars'\n")

    settings = load_settings(Path("etc/config.toml"), overrides={"demo.data": "elsewhere"})

    assert settings.state_path.parent == home / "etc" / "st"
    assert settings.portfolio_path == Path("~/p.toml").expanduser()
    assert settings.demo.data == home / "elsewhere"


def test_each_mode_and_account_has_its_own_state_and_socket() -> None:
    """Two engines that must not meet never share a directory or a socket."""
    live = {"terminal.module": "mt5", "mode": "live"}
    loaded = [
        load_settings(),
        load_settings(mode="paper"),
        load_settings(overrides={**live, "terminal.login": 1}),
        load_settings(overrides={**live, "terminal.login": 2}),
    ]
    assert [s.state_path.name for s in loaded] == ["demo", "paper", "live-1", "live-2"]
    assert len({s.socket_path for s in loaded}) == 4


def test_the_socket_is_found_from_any_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console finds the engine whatever its session's runtime directory is."""
    before = load_settings().socket_path
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/12345")
    assert load_settings().socket_path == before


def test_a_socket_path_that_is_too_long_is_an_error_that_names_the_cure(home: Path) -> None:
    """The kernel's limit is met at the settings, not at bind()."""
    settings = load_settings(overrides={"run_dir": home / ("x" * 100)})
    with pytest.raises((ConfigError, StateError), match="shorter run directory"):
        _ = settings.socket_path


def test_the_demo_ignores_the_account_of_a_live_configuration(home: Path) -> None:
    """Trying the demo on a trading box touches neither its account nor its database."""
    path = home / "config" / "pmpro" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "mode = 'live'\nportfolio = 'mine.toml'\nstate_dir = 'st'\n"
        "[terminal]\nmodule = 'mt5'\nlogin = 5\n[database]\nembedded = false\nurl_file = 'u'\n"
    )

    demo = load_settings(mode="demo")

    assert (demo.terminal.module, demo.terminal.login) == ("simulated", None)
    assert demo.database.embedded
    assert demo.portfolio_path.name == "demo.toml"
    assert demo.state_path == path.parent / "st" / "demo"
    assert load_settings().state_path == path.parent / "st" / "live-5"


def test_a_named_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults never stand in for a configuration that was asked for."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file"):
        load_settings(Path("nowhere.toml"))
    monkeypatch.setenv("PMPRO_CONFIG", "elsewhere.toml")
    with pytest.raises(ConfigError, match=r"elsewhere\.toml: no such file"):
        load_settings()


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    """What was checked is what runs."""
    settings: Settings = load_settings()
    with pytest.raises(ValueError, match=re.compile("frozen", re.IGNORECASE)):
        settings.mode = "live"
