"""Flows run from the shell: their exit codes, and messages where they cannot start."""

import os
import signal
import sys
from typing import Any

from httpx import HTTPError, HTTPStatusError
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from components.common.errors import InputError

INVALID = "Invalid"  # name of a state after a mistake in configuration or data
STOPPED = 130  # exit code of a run that somebody stopped, as of a shell after Ctrl-C


def exit_code(flow: Flow, print_state: bool = True, **parameters: Any) -> int:
    """Run a flow if Prefect's server answers; return an exit code.

    0; 2 after a mistake in configuration or data, 75 if the server does not answer, 130 if somebody
    stopped the run, 1 after a fault.
    """
    # Background jobs of a shell ignore SIGINT by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if PREFECT_API_URL.value():
            get_client(sync_client=True).hello()
        state = flow(**parameters, return_state=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except HTTPError as error:
        return _server_failed(error)
    except KeyboardInterrupt:
        return STOPPED
    if print_state:
        print(f"{state.name}: {state.message}")
    if state.is_completed():
        return 0
    if state.is_cancelled():
        return STOPPED
    return 2 if state.name == INVALID else 1


def _server_failed(error: HTTPError) -> int:
    """Print what is wrong with Prefect's server; return the exit code."""
    server = f"Prefect's server {PREFECT_API_URL.value()}"
    if isinstance(error, HTTPStatusError) and error.response.status_code in (401, 403):
        print(f"error: {server} refuses the login. Set PREFECT_API_AUTH_STRING", file=sys.stderr)
        return 2
    print(
        f"error: {server} does not answer: {error}. Check that it runs and try again; finished "
        "stages are kept. PREFECT_API_URL names another server",
        file=sys.stderr,
    )
    return os.EX_TEMPFAIL
