"""A flow that is run from the shell: its exit code, and what is said where it cannot begin."""

import os
import signal
import sys
from collections.abc import Callable

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL

from components.common.errors import InputError

INVALID = "Invalid"  # a state's name after a mistake that no retry mends
STOPPED = 130  # exit code of a run that somebody stopped, as a shell's after Ctrl-C


def exit_code(run: Callable[[], State]) -> int:
    """Run a flow, if Prefect's server is there.

    Returns:
        0; 2 after a user's mistake, 75 if the server does not answer, 130 if somebody stopped it,
        1 after a fault.
    """
    # A shell's background job ignores SIGINT, and would ignore a polite stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if PREFECT_API_URL.value():
            get_client(sync_client=True).hello()
        state = run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except HTTPError as error:
        return _server_failed(error)
    except KeyboardInterrupt:
        return STOPPED
    if state.is_completed():
        return 0
    if state.is_cancelled():
        return STOPPED
    return 2 if state.name == INVALID else 1


def _server_failed(error: HTTPError) -> int:
    """Say what is wrong with Prefect's server; the exit code."""
    server = f"Prefect's server {PREFECT_API_URL.value()}"
    if isinstance(error, HTTPStatusError) and error.response.status_code in (401, 403):
        print(f"error: {server} refuses the login. Set PREFECT_API_AUTH_STRING", file=sys.stderr)
        return 2
    print(
        f"error: {server} does not answer: {error}. See that it runs and try again, which goes on "
        "where this ended; PREFECT_API_URL names another one",
        file=sys.stderr,
    )
    return os.EX_TEMPFAIL
