"""Tables for people: whole on a pipe or in a file, fitted to the width of a terminal.

Cells are text, never markup. On a pipe a record is a line, whatever it holds. On a terminal what
matters least goes first, said below the table; texts wrap, and nothing is cut.
"""

import re
import sys
from collections.abc import Sequence

from engine.model.printable import printable
from pmpro_tui.cli.output import LINE_MAX_CHARS

_GAP = "  "
# Of a text that wraps, what it is given before another column goes; less than this is no column.
_TEXT_CELLS = 32
_FRAME_CELLS = 3
_FIGURE = re.compile(r"[-+–]?[\d,.'_]*\s?[%×]?|inf|nan")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    least: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> None:
    """Write a table.

    `least`: the columns that a narrow terminal does without, the first of them first.
    `texts`: the columns that wrap on a terminal; the last one where none is named.
    """
    cells = [
        [printable(" ".join(str(cell).split()), LINE_MAX_CHARS) for cell in row] for row in rows
    ]
    title = printable(title)
    if sys.stdout.isatty():
        _fitted(title, columns, cells, least, texts or columns[-1:])
    else:
        sys.stdout.write("".join(f"{line}\n" for line in whole(title, columns, cells)))


def whole(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return a table's lines, a record each, columns as wide as what they hold."""
    from rich.cells import cell_len

    table = [columns, *cells] if any(columns) else list(cells)
    widths = [max(map(cell_len, column), default=0) for column in zip(*table, strict=True)]
    right = _figures(columns, cells)
    lines = [title] if title else []
    for row in table:
        padded = (
            f"{' ' * (width - cell_len(cell))}{cell}"
            if i in right
            else f"{cell}{' ' * (width - cell_len(cell))}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(_GAP.join(padded).rstrip())
    return lines


def _figures(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> set[int]:
    """Return the columns that hold nothing but figures: they stand at the right."""
    return {
        i
        for i in range(len(columns))
        if any(row[i] for row in cells) and all(_FIGURE.fullmatch(row[i]) for row in cells)
    }


def _fitted(
    title: str,
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    least: Sequence[str],
    texts: Sequence[str],
) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [max(map(cell_len, column)) for column in zip(*[columns, *cells], strict=True)]
    for i, name in enumerate(columns):
        if name in texts:
            widths[i] = min(widths[i], _TEXT_CELLS)
    shown = list(range(len(columns)))
    gone: list[str] = []

    def fits() -> bool:
        return sum(widths[i] + _FRAME_CELLS for i in shown) + 1 <= console.width

    while not fits() and len(gone) < len(least):
        gone.append(least[len(gone)])
        shown.remove(columns.index(gone[-1]))
    right = _figures(columns, cells)
    table = Table(
        title=Text(title) if title else None, title_justify="left", show_header=any(columns)
    )
    for i in shown:
        table.add_column(
            Text(columns[i]),
            overflow="fold",
            no_wrap=fits() and columns[i] not in texts,
            justify="right" if i in right else "left",
        )
    for row in cells:
        table.add_row(*(Text(row[i]) for i in shown))
    console.print(table)
    if gone:
        sys.stdout.write(f"not shown on so narrow a terminal: {', '.join(gone)}\n")
