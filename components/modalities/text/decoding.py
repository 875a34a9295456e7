"""The bytes of texts to text of one form.

Without torch, so that the ingest stage checks with the same code what is converted later.
"""

import unicodedata

LONGEST = 20_000  # characters; about as many as the 4,096 tokens that a setting allows at most
CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r"]
SPACES = dict.fromkeys(CONTROLS, " ")


def decode(content: bytes) -> str:
    """A UTF-8 text in one form, see `normalise`.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    return normalise(content.decode())


def normalise(text: str) -> str:
    """Unicode NFC, without what only says how a text was stored.

    The byte-order mark and white space at both ends go, line ends are line feeds, other control
    characters are spaces, and what is beyond the longest text that is allowed is cut.
    """
    text = text.removeprefix("\ufeff")[:LONGEST]  # NFC takes time by the square of some texts
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(SPACES)
    return unicodedata.normalize("NFC", text).strip()
