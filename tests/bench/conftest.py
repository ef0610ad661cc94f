"""The benchmarks are commands: their tests run `pmpro` as the tests of commands do."""

from tests.cli.conftest import home, pmpro

__all__ = ["home", "pmpro"]
