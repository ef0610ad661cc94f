"""Users' strategies: kinds from files, loaded by path under names of their own.

A file defines subclasses of `strategies.base.Strategy`. It is imported only in strategy hosts and
research, never in the engine's process, and whatever its name is, it shadows no module.
"""

import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path

from engine.model.errors import StrategyError
from strategies.base import Strategy
from strategies.registry import KINDS, register


def load_file(path: Path) -> list[str]:
    """Register the kinds that a file defines; return their names."""
    name = f"pmpro_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise StrategyError(f"strategy file {path}: not a readable Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise StrategyError(f"strategy file {path}: {type(error).__name__}: {error}") from error
    found = [
        cls
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, Strategy) and cls.__module__ == name
    ]
    kinds = [cls for cls in found if not inspect.isabstract(cls)]
    if not kinds:
        raise StrategyError(f"strategy file {path}: defines no Strategy")
    for cls in kinds:
        if cls.kind in KINDS and KINDS[cls.kind].__module__ != name:
            raise StrategyError(f"strategy file {path}: kind {cls.kind!r} exists already")
        register(cls)
    return [cls.kind for cls in kinds]
