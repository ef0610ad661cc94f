"""The child that sends, with the real Telegram plugin but for the address it posts to."""

import os

from apprise.manager_plugins import NotificationManager
from apprise.plugins.telegram import NotifyTelegram

from engine.notify import delivery


class LocalTelegram(NotifyTelegram):
    """Posts to a server of the test's."""

    notify_url = os.environ["LOCAL_TELEGRAM_URL"]


if __name__ == "__main__":
    assert NotificationManager().add(LocalTelegram, schemas=("tgram",), force=True)
    delivery.main()
