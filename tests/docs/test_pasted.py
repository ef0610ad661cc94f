"""What README and INSTALLATION show to be pasted works as pasted, in an empty place."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine.kernels.cache import cache_dir
from tests.docs.pages import REPO


def shell_blocks(page: str) -> list[str]:
    """Return the blocks of shell of a page, in order."""
    text = (REPO / page).read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def paste(block: str, place: Path) -> "subprocess.CompletedProcess[str]":
    """Run a block in a checkout's place that has this environment and nothing else."""
    (place / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PMPRO_", "XDG_"))}
    kernels = str(cache_dir().parents[1])
    own = {"HOME": str(place), "PMPRO_CACHE_DIR": kernels, "PYTHONPATH": str(REPO)}
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    return subprocess.run(
        [bash, "-eu"],
        input=block,
        cwd=place,
        env=kept | own,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_readme_s_second_block_works_as_pasted(tmp_path: Path) -> None:
    """From nothing to a backtest: every line ends well, and the month that it names is tested."""
    done = paste(shell_blocks("README.md")[1], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Backtest 2025-01-01T00:00:00Z to 2025-02-01T00:00:00Z" in done.stdout
    assert "not included" not in done.stderr
    assert (tmp_path / ".config" / "pmpro" / "portfolio.toml").is_file()
    names = {path.name for path in (tmp_path / "bars").iterdir()}
    assert "EURUSD_M1_20240901-20250401_generated.parquet" in names


@pytest.mark.long
def test_the_wheel_is_built_and_named_with_its_extras_as_shown(tmp_path: Path) -> None:
    """`make wheel` in a copy gives one wheel, which pip takes by the line with extras."""
    (wheel_block,) = [b for b in shell_blocks("docs/INSTALLATION.md") if "make wheel" in b]
    (extras_block,) = [b for b in shell_blocks("docs/INSTALLATION.md") if "[research,web]" in b]
    kept = subprocess.run(
        ["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    for name in kept.splitlines():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPO / name, target)
    words = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    recipe = (REPO / "Makefile").read_text(encoding="utf-8").split("\nwheel:")[1].split("\n\n")[0]
    assert " ".join(words) in " ".join(recipe.replace("\\\n", " ").split())
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=tmp_path, check=True, timeout=100)
    (wheel,) = (tmp_path / "dist").iterdir()
    assert "dist/portfolio_manager_pro-*.whl" in wheel_block
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [n for n in archive.namelist() if n.endswith("METADATA")]
        extras = re.findall(r"Provides-Extra: (\w+)", archive.read(metadata).decode())
        assert "engine/terminal/simulated/module/children/MetaTrader5.py" in archive.namelist()
    assert {"research", "web", "terminal"} <= set(extras)
    shown = re.search(r'"(portfolio-manager-pro\[[^"]*)"', extras_block)
    assert shown is not None
    requirement = subprocess.run(
        ["bash", "-c", f'echo "{shown[1]}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert requirement == f"portfolio-manager-pro[research,web] @ file://{wheel}"
    dry = ["install", "--dry-run", "--no-deps", "--no-index", requirement]
    subprocess.run([sys.executable, "-m", "pip", *dry], cwd=tmp_path, check=True, timeout=60)
