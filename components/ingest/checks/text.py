"""Whether a text can be used."""

from components.ingest.checks.problem import Facts, Problem


def inspect(content: bytes) -> Facts | Problem:
    """Decode a text: `characters`, or what is wrong with it."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return Problem("text_not_utf8", f"the text is not UTF-8: {error}")
    if not text.strip():
        return Problem("text_empty", "the text is empty")
    return {"characters": len(text)}
