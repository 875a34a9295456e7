"""Names that come of a task's own."""


def confidence_column(task: str) -> str:
    """Return the column of the answers with the confidence of a task's predictions."""
    return f"{task}_confidence"
