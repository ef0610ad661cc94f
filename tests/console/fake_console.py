"""`pmpro-tui`, starting the fake engine where none runs."""

from pmpro_tui.launch import attach, tui

attach.DAEMON_MODULE = "tests.console.fake_daemon"

if __name__ == "__main__":
    tui.main()
