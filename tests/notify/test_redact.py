"""No part of a channel's URL that opens anything is left in a text."""

import base64
import io
import logging
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.notify.delivery import RedactingFilter
from engine.notify.redact import HIDDEN, Redactor

TOKEN = "123456789:AAFsecretTOKENsecretTOKEN"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (
            f"tgram://{TOKEN}/-100987654",
            [TOKEN, "AAFsecretTOKENsecretTOKEN", "123456789", "-100987654"],
        ),
        (
            "mailtos://ann:p4ss%2Fword@mail.example.com:587?to=ops@example.com",
            ["p4ss/word", "ops@example.com"],
        ),
        ("mailto://ann:hunter2@example.com/a@b.example/c@d.example", ["hunter2"]),
        (
            "json://user:pw@127.0.0.1:8080/hooks/T0KEN99?+X-Key=k3y4567",
            ["pw", "T0KEN99", "k3y4567"],
        ),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", ["TIiajkdnlazkcOXrIdevi7FQ"]),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ["JHMHI8qBe7bk2ZwO5U711o3dV_js"]),
    ],
)
def test_secrets_are_hidden_in_every_spelling(url: str, secrets: list[str]) -> None:
    """As they stand in the URL, decoded, encoded, in other case, and inside other URLs."""
    redact = Redactor([url])
    for secret in secrets:
        for form in (secret, quote(secret), quote(secret, safe=""), secret.lower()):
            assert form not in redact(f"POST https://api.example.com/bot{form}/sendMessage failed")


def test_where_the_trouble_is_can_still_be_read() -> None:
    """Hosts, ports and codes open nothing."""
    redact = Redactor(["mailto://ann:hunter2@mail.example.com:2525?to=ops@example.com"])
    text = "connection to mail.example.com:2525 refused, error=535"
    assert redact(text) == text
    assert Redactor()("anything") == "anything"


def test_a_login_is_hidden_as_a_header_carries_it() -> None:
    """Basic authentication is the login in other letters."""
    header = base64.b64encode(b"ann:hunter2").decode()
    assert Redactor(["json://ann:hunter2@h.example/"])(f"Basic {header}") == f"Basic {HIDDEN}"


def test_nothing_of_a_record_is_written_as_it_was() -> None:
    """Text, arguments and traceback go through the filter, of a logger that talks too much too."""
    written = io.StringIO()
    logger = logging.getLogger("talkative")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = logging.StreamHandler(written)
    handler.addFilter(RedactingFilter(Redactor([f"tgram://{TOKEN}/42"])))
    logger.addHandler(handler)
    logger.debug("posting to %s", f"https://api.telegram.org/bot{TOKEN}/getMe")
    try:
        raise ValueError(TOKEN)
    except ValueError:
        logger.exception("with %(token)s", {"token": TOKEN})
    assert "posting to https://api.telegram.org/bot***:***/getMe" in written.getvalue()
    assert "ValueError: ***:***" in written.getvalue()
    assert "AAF" not in written.getvalue()


_WORDS = st.text("abcXYZ019-_", min_size=4, max_size=30)


@settings(max_examples=50)
@given(user=_WORDS, password=_WORDS, path=_WORDS, value=_WORDS, around=st.text(max_size=20))
def test_any_login_path_and_value_is_hidden(
    user: str, password: str, path: str, value: str, around: str
) -> None:
    """Whatever they are, and whatever stands around them."""
    redact = Redactor([f"xyz://{user}:{password}@localhost:99/{path}?key={value}"])
    for secret in (user, password, path, value):
        assert secret not in redact(f"{around}{secret}{around}").replace(HIDDEN, "")
