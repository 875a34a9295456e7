"""Checks texts."""

import unicodedata
from hashlib import blake2b

from components.common.errors import Problem
from components.modalities.modality import FINGERPRINT, Facts, Preview
from components.modalities.text.decoding import MAX_CHARACTERS, decode, normalise

# Unicode's spaces, controls, formatting marks, and marks that only change a letter.
INVISIBLE = {"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"}
BLANK = set("\u115f\u1160\u2800\u3164\uffa0")  # letters and a symbol that look like spaces


LETTERS = 12  # from which a text has a fingerprint


def inspect(content: bytes) -> Facts | Problem:
    """Return the number of `characters` after normalisation, or why a text cannot be used.

    A text that is not very short has a fingerprint.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return Problem("text_not_utf8", f"the text is not UTF-8: {error}")
    if "\0" in text:
        return Problem("text_nul", f"the text holds NUL, as character {text.index(chr(0)) + 1}")
    if len(text) > MAX_CHARACTERS:
        detail = (
            f"the text has {len(text)} characters, expected at most {MAX_CHARACTERS}; shorten it, "
            "or make several rows of it"
        )
        return Problem("text_too_long", detail)
    if all(unicodedata.category(c) in INVISIBLE or c in BLANK for c in text):
        return Problem("text_empty", "the text is empty")
    facts, found = {"characters": len(normalise(text))}, fingerprint(text)
    return facts if found is None else facts | {FINGERPRINT: found}


def fingerprint(text: str) -> bytes | None:
    """Return a hash of the letters and digits, without case, width and what is between them.

    None if they are few.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    letters = "".join(filter(str.isalnum, folded))
    return blake2b(letters.encode(), digest_size=16).digest() if len(letters) >= LETTERS else None


def preview(content: bytes) -> Preview:
    """Return the text."""
    return Preview(text=decode(content))
