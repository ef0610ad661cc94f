"""The commented configuration file that holds every option: `config.example.toml`, `pmpro init`."""

import json
from pathlib import Path

from pydantic.fields import FieldInfo

from engine.runtime.option_sources import OTHER_VARIABLES
from engine.runtime.options import Options, Section

_HEAD = f"""\
# Portfolio Manager Pro. Every option with its default; what is commented out has none.
# Environment variables override: PMPRO_MODE, PMPRO_TERMINAL__LOGIN (section, two underscores, key).
# Other variables: {", ".join(OTHER_VARIABLES)}.
# Secrets never stand here: they come from the environment, or from a file of yours of mode 600.

"""


def example_text() -> str:
    """Return the file's text, made from the options themselves."""
    lines = [_HEAD]
    for name, field in Options.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            lines.append(f"\n# {section.__doc__}\n[{name}]\n")
            lines += [_entry(*item) for item in section.model_fields.items()]
        else:
            lines.append(_entry(name, field))
    return "".join(lines)


def _entry(name: str, field: FieldInfo) -> str:
    if field.default is not None:
        return f"# {field.description}\n{name} = {_literal(field.default)}\n"
    if field.examples:
        return f"# {field.description}\n# {name} = {_literal(field.examples[0])}\n"
    # A secret has no example: it must not be written into this file.
    return f"# {name}: {field.description}\n"


def _literal(value: object) -> str:
    return json.dumps(value.as_posix() if isinstance(value, Path) else value)
