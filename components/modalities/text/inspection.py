"""Whether a text can be used."""

import unicodedata

from components.common.errors import Problem
from components.modalities.facts import Facts
from components.modalities.text.decoding import LONGEST, normalise

UNSEEN = {"Zs", "Zl", "Zp", "Cc", "Cf"}  # Unicode's spaces, controls and marks such as joiners


def inspect(content: bytes) -> Facts | Problem:
    """Decode a text, or say what is wrong with it.

    Returns:
        `characters` as the model gets them; `bytes` of the source.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return Problem("text_not_utf8", f"the text is not UTF-8: {error}")
    if "\0" in text:
        return Problem("text_nul", f"the text holds NUL, as character {text.index(chr(0)) + 1}")
    if len(text) > LONGEST:
        return Problem(
            "text_too_long", f"the text has {len(text)} characters, expected at most {LONGEST}"
        )
    if all(unicodedata.category(character) in UNSEEN for character in text):
        return Problem("text_empty", "the text is empty")
    return {"characters": len(normalise(text)), "bytes": len(content)}
