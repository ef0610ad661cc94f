"""A feed of signals read back, row by row."""

from backtest.signals import VARIES


def said(feed, i):
    """Return what each member of closing `i`'s series says: (member, (raw, warming, …)) in order.

    A member of a book that votes, and one that is WARMING, has confidence 1.
    """
    block = feed.blocks[feed.block[i]]
    cells = feed.raw[block["raw"] + i * block["n_rows"] :][: block["n_rows"]]
    weights = feed.values[block["weights"] + i * block["n_weights"] :][: block["n_weights"]]
    rows = feed.rows[block["first_row"] :][: block["n_rows"]]
    return [
        (
            int(row["member"]),
            (
                int(cell) - VARIES if cell >= VARIES - 1 else int(cell),
                bool(row["warming"]),
                1.0 if row["weight"] < 0 or row["warming"] else float(weights[row["weight"]]),
                *(float(feed.values[row[d] + i * row[f"{d}_step"]]) for d in ("stop", "target")),
            ),
        )
        for cell, row in zip(cells, rows, strict=True)
    ]
