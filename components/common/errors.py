"""What the user can mend, what may pass by itself, and what is wrong with a single row."""

import difflib
from dataclasses import dataclass


class InputError(Exception):
    """A mistake in configuration or data: what, where, found, expected, and the way out.

    A stage that ends with it prints the message without a traceback and exits with code 2.
    """


class Unavailable(Exception):
    """A service does not answer: nothing is wrong here, and the same may work later.

    A stage that ends with it prints the message without a traceback and exits with code 75.
    """


@dataclass(frozen=True)
class Problem:
    """Why a file or a label cannot be used: it goes to quarantine, and nothing is raised.

    Attributes:
        reason: a stable code of lower-case letters, digits and underscores, as `image_undecodable`.
        detail: a sentence: what was found and what was expected.
    """

    reason: str
    detail: str


def nearest(word: str, valid: list[str]) -> str:
    """For an error message: what may stand here, the most similar first, if one is similar."""
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Valid here: {', '.join(valid)}"
