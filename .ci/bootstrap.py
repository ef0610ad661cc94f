"""Make the environment: `.venv` with pinned packages, this project and its compiled kernels.

Standard library only. Each part leaves a stamp with the hash of what it was made from, so that
a second run does nothing. Usage: `python bootstrap.py base|test|dev|kernels …`.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if sys.platform == "win32" else "bin")
KERNEL_PACKAGES = ("engine", "strategies", "backtest")
CACHE_VARIABLES = ("PMPRO_CACHE_DIR", "XDG_CACHE_HOME", "HOME")
LOG = VENV / "install.log"


def main(parts: list[str]) -> int:
    """Make the parts that are not there or not up to date; return the exit code."""
    packages = _hash([_packaging(), (ROOT / "constraints.txt").read_bytes()])
    try:
        if not _is_current("python", _hash([])):
            _say(f"Creating {VENV.name} with Python {sys.version.split()[0]}")
            venv.create(VENV, clear=True, with_pip=True)
            _stamp("python").write_text(_hash([]))
        for part in ["base", *(p for p in parts if p not in ("base", "kernels"))]:
            if not _is_current(part, packages):
                _install(part)
                _stamp(part).write_text(packages)
        if "kernels" in parts:
            _compile()
    except subprocess.CalledProcessError:
        return 1
    return 0


def _install(part: str) -> None:
    target = str(ROOT) if part == "base" else f"{ROOT}[{part}]"
    pip = [str(BIN / "python"), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    pinned = ["--constraint", str(ROOT / "constraints.txt")]
    started_s = time.monotonic()
    if part == "base":
        _run([*pip, "install", *pinned, "setuptools"], "Installing the build tool")
    what = "packages, about 300 MB" if part == "base" else f"what `{part}` needs"
    _run(
        [*pip, "install", *pinned, "--no-build-isolation", "--editable", target],
        f"Installing {what}",
    )
    _say(f"Installed in {time.monotonic() - started_s:.0f} s")


def _compile() -> None:
    paths = (p for name in KERNEL_PACKAGES for p in sorted((ROOT / name).rglob("*.py")))
    caches = [os.environ.get(name, "").encode() for name in CACHE_VARIABLES]
    sources = _hash([*caches, *(path.read_bytes() for path in paths)])
    stamp = _stamp("kernels")
    if stamp.exists():
        made_from, _, cache = stamp.read_text().partition("\n")
        if made_from == sources and Path(cache).is_dir():
            return
    done = subprocess.run(
        [BIN / "pmpro", "compile"], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    stamp.write_text(f"{sources}\n{done.stdout.strip()}")


def _run(command: list[str], title: str) -> None:
    """Run pip: one line that counts packages on a terminal, its log only on failure."""
    _say(title)
    LOG.parent.mkdir(exist_ok=True)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = list(_shown(process.stdout))
    LOG.write_text("".join(lines))
    if process.returncode:
        tail = "".join(lines[-12:])
        sys.stderr.write(f"{tail}setup: pip failed; its whole output is in {LOG}\n")
        raise subprocess.CalledProcessError(process.returncode, command)


def _shown(lines: Iterable[str]) -> Iterator[str]:
    n_packages = 0
    for line in lines:
        yield line
        if line.startswith(("Collecting ", "Installing collected")) and sys.stdout.isatty():
            n_packages += line.startswith("Collecting ")
            what = line.split()[1] if line.startswith("Collecting ") else "unpacking"
            sys.stdout.write(f"\r\x1b[K  {n_packages:3} {what}")
            sys.stdout.flush()
    if n_packages:
        sys.stdout.write("\r\x1b[K")


def _is_current(part: str, made_from: str) -> bool:
    stamp = _stamp(part)
    return stamp.exists() and stamp.read_text() == made_from


def _stamp(part: str) -> Path:
    return VENV / f".installed-{part}"


def _packaging() -> bytes:
    """Return the part of pyproject.toml that decides what is installed."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    chosen = (content["build-system"], content["project"], content["tool"]["setuptools"])
    return json.dumps(chosen, sort_keys=True).encode()


def _hash(parts: Iterable[bytes]) -> str:
    # The place and the Python are in it: an environment survives neither being moved nor upgraded.
    digest = hashlib.sha256(f"{ROOT} {sys.version_info[:3]}".encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
