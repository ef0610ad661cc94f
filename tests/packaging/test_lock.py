"""Lock files: every pin with the hashes of its files, and what is installed here is what they say.

Whoever changes a pin makes them anew: .venv/bin/python .ci/lock
"""

import importlib.machinery
import importlib.util
import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import pytest

from tests.conftest import REPO

LINE = re.compile(r'([A-Za-z0-9._-]+==[A-Za-z0-9.]+(?: ; sys_platform == "win32")?)')
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")
BOXES = {
    f"Python 3.{minor} on {platform}"
    for minor in (11, 12, 13, 14)
    for platform in ("linux-x86_64", "linux-aarch64", "windows")
}
BOTH = pytest.mark.parametrize("name", ["requirements.lock", "requirements-all.lock"])


def locked(name: str) -> dict[str, list[str]]:
    """Return a lock file's hashes by pin."""
    found: dict[str, list[str]] = {}
    for line in (REPO / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        content = line.removesuffix(" \\")
        if HASH.fullmatch(content):
            found[list(found)[-1]].append(content)
        else:
            assert LINE.fullmatch(content), line
            found[content] = []
    return found


def pins() -> list[str]:
    lines = (REPO / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that makes them."""
    loader = importlib.machinery.SourceFileLoader("lock_script", str(REPO / ".ci" / "lock"))
    spec = importlib.util.spec_from_loader("lock_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@BOTH
def test_every_pin_has_hashes_and_nothing_else_stands_there(name: str) -> None:
    """pip takes no file but these, and finds no host, path or option in the file; boxes of every
    kind that pmpro supports are covered."""
    content = (REPO / name).read_text(encoding="utf-8")
    assert {line[4:] for line in content.splitlines() if line.startswith("#   ")} == BOXES
    assert "://" not in content
    for pin, hashes in locked(name).items():
        assert hashes, pin
        assert len(set(hashes)) == len(hashes), pin


def test_the_locks_are_of_today_s_pins() -> None:
    """A pin that was changed without its hashes is found here, not at somebody's installation."""
    assert list(locked("requirements-all.lock")) == pins()
    whole = locked("requirements-all.lock")
    assert {pin: whole[pin] for pin in locked("requirements.lock")} == locked("requirements.lock")


def test_the_lock_has_all_that_is_needed(script: ModuleType) -> None:
    """`--require-hashes` installs nothing that is not in the file: neither it nor anything that its
    packages need may be missing, extras included."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = script.needed(project["dependencies"])
    assert {script.name_of(pin) for pin in locked("requirements.lock")} == base
    extras = [w for extra in project["optional-dependencies"].values() for w in extra]
    everything = script.needed([*project["dependencies"], *extras])
    assert everything <= {script.name_of(pin) for pin in pins()}


def test_what_is_installed_satisfies_the_lock() -> None:
    """The suite runs on the versions that the hashes are of."""
    n_found = 0
    for pin in locked("requirements-all.lock"):
        name, _, wanted = pin.partition(" ;")[0].partition("==")
        try:
            found = version(name)
        except PackageNotFoundError:  # another kind of box's, or an extra that is not here
            continue
        assert found == wanted, name
        n_found += 1
    assert n_found > 40
