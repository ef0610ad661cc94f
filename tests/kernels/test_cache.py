"""The kernel cache never serves a result of code that is no longer there."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

CALLEE = (
    "from engine.kernels.compiled import kernel\n\n"
    "@kernel\ndef limit(x):\n    return x * {factor}\n"
)
CALLER = (
    "from engine.decision.callee import limit\n"
    "from engine.kernels.compiled import kernel\n\n"
    "@kernel\ndef decide(x):\n    return limit(x) + 1\n"
)
ARRAYS = (
    "import numpy as np\n"
    "from engine.kernels.compiled import kernel\n\n"
    "@kernel\ndef inner(n):\n    return np.full(n, 2.5)\n\n"
    "@kernel\ndef outer(n):\n    return inner(n) * 2.0\n"
)
RUN_ARRAYS = (
    "from engine.decision.arrays import inner, outer\n"
    "print(outer(2).sum() + inner(1).sum(), sum(outer.stats.cache_hits.values()), 0)"
)
RUN = (
    "import os\nfrom engine.decision.caller import decide\n"
    "print(decide(10), sum(decide.stats.cache_hits.values()), os.environ['NUMBA_CACHE_DIR'])"
)


def tree(root: Path) -> None:
    for package in ("engine", "engine/kernels", "engine/files", "engine/model", "engine/decision"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").touch()
    modules = (
        *("kernels/compiled.py", "kernels/dispatcher.py", "kernels/cache.py"),
        *("files/places.py", "files/trust.py", "model/errors.py"),
    )
    for module in modules:
        shutil.copy(REPO / "engine" / module, root / "engine" / module)
    (root / "engine/decision/caller.py").write_text(CALLER)
    (root / "engine/decision/callee.py").write_text(CALLEE.format(factor=2))


def decide(root: Path, program: str = RUN) -> tuple[float, int, str]:
    """Return the kernel's answer for 10, its cache hits and its cache, in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PMPRO_CACHE_DIR": str(root / "cache")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer, hits, cache = done.stdout.split()
    return float(answer), int(hits), cache


def test_an_edited_callee_in_another_file_is_noticed(tmp_path: Path) -> None:
    """numba alone would serve the old callee: an upgrade must not trade yesterday's rule."""
    root = tmp_path / "tree"
    tree(root)
    first, _, first_cache = decide(root)
    again, hits, _ = decide(root)
    (root / "engine/decision/callee.py").write_text(CALLEE.format(factor=3))
    edited, _, edited_cache = decide(root)

    assert (first, again, edited) == (21, 21, 31)
    assert hits == 1
    assert first_cache != edited_cache


def test_what_is_loaded_returns_arrays_as_what_was_compiled(tmp_path: Path) -> None:
    """A kernel that others call has its own way to Python's arrays, whoever was loaded first."""
    root = tmp_path / "tree"
    tree(root)
    (root / "engine/decision/arrays.py").write_text(ARRAYS)
    assert [decide(root, RUN_ARRAYS)[:2] for _ in range(2)] == [(12.5, 0), (12.5, 1)]


def test_whoever_imports_numba_has_said_where_the_cache_is() -> None:
    """numba looks once, at its import: whichever module of ours a program happens to begin with."""
    for package in ("engine", "strategies", "backtest", "rl", "pmpro_tui"):
        for path in sorted((REPO / package).rglob("*.py")):
            imported = [
                name
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in (
                    [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else [alias.name for alias in node.names]
                )
            ]
            with_numba = [name for name in imported if name.split(".")[0] == "numba"]
            if with_numba:
                first = imported.index(with_numba[0])
                assert "engine.kernels.cache" in imported[:first], path


@pytest.mark.parametrize("module", ["engine.kernels.arrays", "engine.kernels.dispatcher"])
def test_numba_uses_the_cache_of_these_sources(tmp_path: Path, module: str) -> None:
    """Also where one of these is the first to be imported."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import {module}, numba; print(numba.config.CACHE_DIR)"],
        env={**os.environ, "PYTHONPATH": str(REPO), "PMPRO_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def pretend(place: Path, package: str, version: str) -> None:
    """Have a package seem to be installed in another version."""
    info = place / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


COMMANDS = [
    ["-c", "import engine.kernels.dispatcher"],
    [
        *("-m", "pmpro_tui.cli.main", "backtest", "run", "--data", ".", "--portfolio", "p.toml"),
        *("--from", "2024-01-01", "--to", "2024-01-02"),
    ],
    ["-m", "pmpro_tui.cli.main", "compile"],
    ["-m", "pmpro_tui.launch.tui", "--daemon", "--demo"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=["import", "backtest", "compile", "daemon"])
@pytest.mark.parametrize(
    ("package", "version"), [("numba", "0.69.0"), ("numba", "0.6.8"), ("llvmlite", "0.51.0rc1")]
)
def test_another_compiler_is_refused_in_one_line(
    tmp_path: Path, package: str, version: str, command: list[str]
) -> None:
    """Before anything is compiled or traded; the line names what is installed and wanted."""
    pretend(tmp_path / "packages", package, version)
    (tmp_path / "p.toml").write_text(
        '[[strategy]]\nname = "a"\nkind = "ma_cross"\nsymbol = "EURUSD"\n'
    )
    done = subprocess.run(
        [sys.executable, "-P", *command],
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path / 'packages'}{os.pathsep}{REPO}",
            "PMPRO_CACHE_DIR": str(tmp_path / "cache"),
            "PMPRO_STATE_DIR": str(tmp_path / "state"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert f"{package} {version} is installed" in last
    assert "constraints.txt" in last
    if "-m" in command:
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "cache").exists()


def test_kernels_of_other_sources_are_refused(tmp_path: Path) -> None:
    """A cache that was copied under these sources' name would trade yesterday's risk code."""
    root = tmp_path / "tree"
    tree(root)
    first, _, first_cache = decide(root)
    (root / "engine/decision/callee.py").write_text(CALLEE.format(factor=3))
    edited, _, edited_cache = decide(root)
    assert (first, edited) == (21, 31)
    shutil.rmtree(edited_cache)
    shutil.copytree(first_cache, edited_cache)
    with pytest.raises(subprocess.CalledProcessError) as error:
        decide(root)
    assert f"compiled kernels in {edited_cache} are of other sources" in error.value.stderr
    shutil.rmtree(edited_cache)
    assert decide(root)[0] == 31
