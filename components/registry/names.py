"""Names of metrics, parameters and tags in MLflow: different ones stay different, whatever is in
them.

A figure is named by what it is of: a metric, a task, the column and value of a slice, modalities.
MLflow takes letters, digits and `_-. :` of each, and 250 characters in all. A part that MLflow
takes is spelt as it is. In one that it does not take, each other character becomes its number, as
in `C:23:` for `C#`; a name that is too long loses the end of its longest parts to a hash.
"""

import re

from components.common.hashing import fingerprint

MAX_LENGTH = 250  # characters of a name in MLflow's database
MAX_PART = 60  # characters of a part of a name that is too long
DIGITS = 16  # of a hash
ALLOWED = re.compile(r"[\w.\- :]+")
OTHER = re.compile(r"[^\w.\- ]")  # with the colon, which begins and ends an escape
ESCAPE = re.compile(r":[0-9a-f]*:")


def mlflow_name(*parts: str) -> str:
    """Return a name that MLflow accepts, as `accuracy/answer/image-text`, for these parts alone."""
    spelt = [_spell(part) for part in parts]
    while len(name := "/".join(spelt)) > MAX_LENGTH:
        longest = max(range(len(spelt)), key=lambda place: len(spelt[place]))
        if len(spelt[longest]) <= MAX_PART:
            return _cut(name, MAX_LENGTH)
        spelt[longest] = _cut(spelt[longest], MAX_PART)
    return name


def _spell(part: str) -> str:
    """Return a part as it is, or escaped so that the part can be read back."""
    if ALLOWED.fullmatch(part) and part.strip(".") and not ESCAPE.search(part):
        return part
    if not part.strip("."):  # of a path, it would be the folder itself or the one above
        return "".join(map(_escape, part)) or "::"
    return OTHER.sub(lambda found: _escape(found[0]), part)


def _escape(character: str) -> str:
    return f":{ord(character):x}:"


def _cut(text: str, length: int) -> str:
    """Return the beginning of a text with its hash, whose zero no escape begins with."""
    end = f":0{fingerprint(text)[:DIGITS]}:"
    return text[: length - len(end)] + end
