"""Decodes texts into one normal form, without torch: ingest checks files with it."""

import unicodedata

MAX_CHARACTERS = 20_000  # about the 4,096 tokens that a setting allows at most
CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r"]
SPACES = dict.fromkeys(CONTROLS, " ")


def decode(content: bytes) -> str:
    """Decode a UTF-8 text and normalise it; UnicodeDecodeError if it is not UTF-8."""
    return normalise(content.decode())


def normalise(text: str) -> str:
    """Return a text in Unicode NFC, without what only says how it was stored.

    The byte-order mark and white space at both ends are removed, line ends become line feeds and
    other control characters spaces, and the text is cut at `MAX_CHARACTERS`.
    """
    text = text.removeprefix("\ufeff")[:MAX_CHARACTERS]  # NFC is quadratic for some texts
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(SPACES)
    return unicodedata.normalize("NFC", text).strip()
