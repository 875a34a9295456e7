"""What of texts looks like a mistake."""

import re
from collections.abc import Sequence

from components.modalities.text.decoding import decode

MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&(amp|lt|gt|quot|nbsp|#[0-9]+);")
WRONG = re.compile("\ufffd|Ã[\x80-\xbf]|â€|Â[\xa0-\xbf]")  # UTF-8 that was read as another
ODD = {  # pattern → part of the texts that is worth a word, and the word
    WRONG: (0.0, "were decoded wrongly before; read the original as UTF-8 and write it again"),
    MARKUP: (0.1, "hold markup of web pages; take it off if it is no part of what is said"),
}


def remarks(contents: Sequence[bytes]) -> list[str]:
    """See `Remarks`."""
    texts, said = [decode(content) for content in contents], []
    for pattern, (part, what) in ODD.items():
        found = [match[0] for text in texts if (match := pattern.search(text))]
        if len(found) > max(1, part * len(texts)):
            said.append(f"{len(found):,} of {len(texts):,} texts, with {found[0]!r}, {what}")
    return said
