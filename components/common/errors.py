"""Mistakes of users, failures that may pass, and problems of single rows."""

import difflib
import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

DISK_FULL = "Free some space and run it again: what was finished before is kept"
MAX_LISTED = 10  # names in a message
# What a path that somebody chose can be, beside missing.
UNUSABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}


class InputError(Exception):
    """A mistake in configuration or data: what, where, found, expected, and the way out.

    A stage that ends with it prints the message without a traceback and exits with code 2.
    """


class Unavailable(Exception):
    """A service does not answer; a retry may succeed. Like `InputError`, but with exit code 75."""


@contextmanager
def explained() -> Iterator[None]:
    """Say the way out of errors of the operating system in the body that are no fault.

    Raises:
        Unavailable: the disk is full.
        InputError: a path that somebody chose cannot be used as it is, or by this user.
    """
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            raise Unavailable(f"{error}. {DISK_FULL}") from error
        if isinstance(error, OSError) and error.errno in UNUSABLE and error.filename is not None:
            raise InputError(
                f"{error.filename} cannot be used: {error.strerror}. Name another, or let this "
                "user read and write it"
            ) from error
        raise


def _is_disk_full(error: BaseException) -> bool:
    """Return whether an error says so: an `OSError`, or one of safetensors' or SQLite's."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(words in str(error) for words in ("No space left on device", "disk is full"))


@dataclass(frozen=True)
class Problem:
    """Why a file or a label cannot be used: its row goes to quarantine, and nothing is raised.

    The reason is a stable code such as `image_undecodable`; the detail says what was found and
    what was expected.
    """

    reason: str
    detail: str


def nearest(word: str, valid: Sequence[str]) -> str:
    """Return the valid words for an error message, with a suggestion if one is similar."""
    return f"{did_you_mean(word, valid)}Valid here: {', '.join(valid) or 'none'}"


def did_you_mean(word: str, names: Iterable[str], most: int = 1) -> str:
    """Return a question that proposes the most similar names; empty if none is similar."""
    near = difflib.get_close_matches(word, names, n=most, cutoff=0.5)
    return f"Did you mean {' or '.join(map(repr, near))}? " if near else ""


def listed(names: Sequence[object]) -> str:
    """Return the first names for a message, and how many more there are."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{', '.join(map(str, names[:MAX_LISTED]))}{more}" if names else "nothing"


def refuse(names: Sequence[object], problem: str) -> None:
    """Raise InputError about files that all have one problem, if there are any."""
    if names:
        raise InputError(f"{listed(names)}: {problem}")
