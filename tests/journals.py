"""What tests read from a journal."""

from engine.execution.journal import Intent, Journal, Outcome


def intents_since(journal: Journal, created_ns: int) -> list[tuple[Intent, Outcome | None]]:
    """Return intents created at or after a time, with their latest outcomes, oldest first."""
    return journal._intents("WHERE created_ns >= ? ORDER BY id", created_ns)
