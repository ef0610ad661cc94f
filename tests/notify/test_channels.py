"""Channels, quiet hours and the settings they come from."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from engine.model.errors import ConfigError
from engine.model.times import from_datetime
from engine.notify.channels import read_channels
from engine.notify.quiet import quiet_hours
from engine.runtime.alerts import alert_config
from engine.settings.settings import Settings, load_settings

TOKEN = "123456789:AAFsecretTOKENsecretTOKEN"


def settings(tmp_path: Path, text: str, urls: str = "", mode: int = 0o600) -> Settings:
    """Settings of a file with these alerts, and channels in a file of this mode."""
    file, secrets = tmp_path / "config.toml", tmp_path / "urls"
    secrets.write_text(urls)
    secrets.chmod(mode)
    named = f'urls_file = "{secrets}"\n' if urls else ""
    file.write_text(f"[alerts]\n{named}{text}")
    return load_settings(file)


def test_channels_are_read_from_lines_or_words() -> None:
    """A file has a line each with notes between, the environment has one line."""
    text = f"# people\nchat = tgram://{TOKEN}/42\n\nmail=mailtos://u:p@h.example?to=a@b.example\n"
    channels = read_channels(SecretStr(text), "file")
    assert list(channels) == ["chat", "mail"]
    assert channels["chat"].get_secret_value() == f"tgram://{TOKEN}/42"
    assert list(read_channels(SecretStr("a=json://h b=xml://h"), "variable")) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        f"tgram://{TOKEN}/42",
        f"chat = {TOKEN}",
        f"chat = tgram://{TOKEN}/42 {TOKEN}",
        f"chat = tgram://{TOKEN}/42\nchat = tgram://{TOKEN}/43",
        "\n".join(f"c{n} = tgram://{TOKEN}/{n}" for n in range(17)),
    ],
)
def test_what_is_no_channel_is_refused_without_being_shown(text: str) -> None:
    """One line that names the place, and nothing of what may be a token."""
    with pytest.raises(ConfigError) as caught:
        read_channels(SecretStr(text), "somewhere")
    assert "somewhere" in str(caught.value)
    assert "AAF" not in str(caught.value)


@pytest.mark.parametrize(
    ("hour_utc", "until"),
    [
        ("20:59", ""),
        ("21:00", "07:00 Europe/Berlin"),
        ("05:59", "07:00 Europe/Berlin"),
        ("06:00", ""),
    ],
)
def test_quiet_hours_reach_over_midnight_in_their_zone(hour_utc: str, until: str) -> None:
    """22:00 to 07:00 of Berlin's winter is 21:00 to 06:00 UTC."""
    moment = datetime.fromisoformat(f"2026-11-25T{hour_utc}").replace(tzinfo=UTC)
    assert quiet_hours("22:00-07:00", "Europe/Berlin").until(from_datetime(moment)) == until
    assert quiet_hours("", "UTC").until(from_datetime(moment)) == ""


def test_settings_become_rules_and_channels(tmp_path: Path) -> None:
    """What stands in the file is what applies; a channel without a table has no quiet hours."""
    config = alert_config(
        settings(
            tmp_path,
            'digest_s = 5\n[[alerts.rule]]\nname = "r"\nlevel = "warning"\nchannels = ["chat"]\n'
            '[[alerts.channel]]\nname = "mail"\nquiet = "22:00-07:00"\nzone = "Asia/Tokyo"\n',
            f"chat = tgram://{TOKEN}/42\nmail = json://localhost",
        )
    )
    (rule,) = config.rules
    assert (rule.name, rule.level, rule.channels, rule.escalate) == (
        "r",
        "warning",
        ("chat",),
        None,
    )
    assert [c.quiet.zone for c in config.channels] == ["UTC", "Asia/Tokyo"]
    assert config.policy.digest_ns == 5_000_000_000
    assert TOKEN not in repr(config)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('urls = "chat=tgram://x"', "PMPRO_ALERTS__URLS"),
        ('[[alerts.rule]]\nname = "r"\nchannels = ["fax"]', "'fax'; channels with a URL: chat"),
        ('[[alerts.rule]]\nname = "r"\nescalate = ["fax"]', "'fax'"),
        ('[[alerts.channel]]\nname = "fax"', "'fax'"),
        ('[[alerts.channel]]\nname = "chat"\nquiet = "22-7"', "22:00-07:00"),
        ('[[alerts.channel]]\nname = "chat"\nzone = "Berlin"', "no time zone is named 'Berlin'"),
        ('[[alerts.rule]]\nname = "r"\nlevel = "bad"', "alerts.rule.0.level"),
        ('[[alerts.rule]]\nname = "r"\nsuorce = "x"', "did you mean source?"),
        ('[[alerts.rule]]\nname = "r"\n[[alerts.rule]]\nname = "r"', "'r' stands there twice"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    """It says where, what is allowed, and no secret."""
    with pytest.raises(ConfigError) as caught:
        alert_config(settings(tmp_path, text, f"chat = tgram://{TOKEN}/42"))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "AAF" not in str(caught.value)


def test_channels_that_others_may_read_are_refused(tmp_path: Path) -> None:
    """A token is a key: the file must be the owner's alone."""
    with pytest.raises(ConfigError, match="others may read it: chmod 600 it"):
        alert_config(settings(tmp_path, "", f"chat = tgram://{TOKEN}/42", mode=0o640))


def test_a_demo_wakes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--demo` beside a configuration for live uses none of its channels."""
    file = tmp_path / "config.toml"
    file.write_text('mode = "paper"\n[alerts]\nurls_file = "/nowhere"\n')
    monkeypatch.setenv("PMPRO_CONFIG", str(file))
    assert alert_config(load_settings(mode="demo")).channels == ()
