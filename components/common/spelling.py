"""Names as people see them: which look alike, and what of them a terminal can show."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

LONGEST = 80  # characters of a name that are shown
UNSEEN = {"Cc", "Cf", "Zl", "Zp"}  # Unicode's controls, formatting marks and line ends
SELECTORS = range(0xFE00, 0xFE10)  # choose between a letter's forms, such as that of an emoji
# Cyrillic and Greek letters, in lower case, and what they look like in either case.
CONFUSABLE = "авекмнорстухѕіјһԁԛԝαβεικνορτυχ"
LATIN = str.maketrans(CONFUSABLE, "abekmhopctyxsijhdqwabeikvoptux")
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
WITH_UNIT = re.compile(  # 1,234.50, $5, 12 kg, 7 %, USD 3
    r"([A-Z]{3}|[^\w\s]{0,2})\s*[+-]?[0-9][0-9.,' ]*\s*([^\W\d]{1,4}|[^\w\s]{1,2})?"
)
BETWEEN = re.compile(r"[\s_]+|(?<=\w)-+(?=\w)")  # blanks, underscores, and dashes in a word


def spelling(name: str) -> str:
    """Return a name without what is easily mistaken or not seen; empty if nothing is left.

    That is case, width, blanks, dashes, zeros of numbers, invisible characters, and letters of
    other alphabets that look like Latin ones.
    """
    folded = unicodedata.normalize("NFKC", name).casefold().translate(LATIN)
    plain = BETWEEN.sub("", "".join(char for char in folded if not _is_unseen(char)))
    try:
        return f"{float(plain):.12g}"
    except ValueError:
        return NUMBER.sub(lambda number: f"{float(number[0]):.12g}", plain)


def like_a_number(text: str) -> bool:
    """Return whether a text is no number as programs write it, but one with a unit or marks."""
    try:
        float(text)
    except ValueError:
        return WITH_UNIT.fullmatch(text.strip()) is not None
    return False


def alike(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of names that are spelt nearly the same."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[spelling(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def quoted(name: str) -> str:
    """Return a name in quotes, with escapes for what in it cannot be seen or told apart."""
    mixed = re.search(r"[A-Za-z]", name) and any(char in LATIN for char in map(ord, name.lower()))
    return ascii(name) if mixed or any(map(_is_unseen, name)) else repr(name)


def printable(text: str, longest: int = LONGEST) -> str:
    """Return a text for a terminal: on one line, with escapes for controls, and not too long."""
    shown = text if len(text) <= longest else f"{text[:longest]}…"
    return shown if shown.isprintable() else ascii(shown)[1:-1]


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in UNSEEN or ord(char) in SELECTORS
