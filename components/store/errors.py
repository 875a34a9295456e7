"""The one exception that means "the user can mend this", and what is wrong with a single row."""

from dataclasses import dataclass


class InputError(Exception):
    """A mistake in configuration or data: what, where, found, expected, and the way out.

    A stage that ends with it prints the message without a traceback and exits with code 2.
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
