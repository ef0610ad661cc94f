"""Files that users and pip read: pins without hosts, an example that is the truth."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.kernels.cache import COMPILERS
from engine.settings.options import Options
from engine.settings.settings import load_settings
from engine.settings.sources import option_keys
from engine.settings.text import example_text

REPO = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((REPO / "pyproject.toml").read_text())
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+( ; sys_platform == \"win32\")?")


def constraints() -> list[str]:
    lines = (REPO / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_constraints_are_pins_and_name_no_host() -> None:
    """pip reads them anywhere: no URL, index, path or option, nothing unpinned."""
    for line in constraints():
        assert PIN.fullmatch(line), line
    assert "://" not in (REPO / "constraints.txt").read_text()


def canonical(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_every_dependency_is_pinned() -> None:
    """A new box gets the versions that were tested."""
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    pinned = {canonical(line) for line in constraints()}
    assert {canonical(w) for w in wanted} - pinned == set()


def test_the_compiler_s_series_is_one_everywhere() -> None:
    """pip installs no numba that a start refuses, and the pins are of that series."""
    (wanted,) = [w for w in PROJECT["project"]["dependencies"] if canonical(w) == "numba"]
    series = COMPILERS["numba"]
    major, minor = series.split(".")
    assert wanted == f"numba>={series},<{major}.{int(minor) + 1}"
    pins = dict(line.split("==") for line in constraints() if ";" not in line)
    for package, tested in COMPILERS.items():
        assert pins[package].startswith(f"{tested}."), package


def test_packages_are_listed_and_tests_are_not_installed() -> None:
    """The wheel holds the six packages and nothing else."""
    include = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.removesuffix(".*") for name in include} == {
        "backtest",
        "engine",
        "pmpro_tui",
        "rl",
        "sql",
        "strategies",
    }


def packages() -> Iterator[Path]:
    for name in ("backtest", "engine", "pmpro_tui", "rl", "sql", "strategies"):
        yield from (p for p in (REPO / name).rglob("*") if p.is_dir() and p.name != "__pycache__")


def test_every_package_directory_is_a_package() -> None:
    """A folder without `__init__.py` would be missing from the wheel."""
    missing = [p for p in packages() if any(p.glob("*.py")) and not (p / "__init__.py").exists()]
    assert missing == []


def test_example_configuration_is_made_from_the_options() -> None:
    """Whoever changes an option rewrites the example:

    python -c "from engine.settings.text import *; print(example_text(), end='')"
    """
    assert (REPO / "config.example.toml").read_text() == example_text()


def test_example_configuration_holds_every_option_at_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Reading the example changes nothing, and no option is missing from it."""
    monkeypatch.chdir(tmp_path)
    loaded = load_settings(REPO / "config.example.toml")
    defaults = load_settings(mode="demo")
    exclude = {"portfolio"}  # relative to its file, so it differs with the file's directory
    assert loaded.model_dump(exclude=exclude) == defaults.model_dump(exclude=exclude)

    text = (REPO / "config.example.toml").read_text()
    for key in option_keys():
        section, _, name = key.rpartition(".")
        part = text.partition(f"[{section}]")[2] if section else text
        assert re.search(rf"^(# )?({name}( =|:)|\[\[{key}\]\])", part, re.MULTILINE), key


def test_every_option_is_described() -> None:
    """An operator finds out from the file alone what an option does."""
    for key in option_keys():
        section, _, name = key.rpartition(".")
        model: Any = Options.model_fields[section].annotation if section else Options
        field = model.model_fields[name]
        assert field.description, key
