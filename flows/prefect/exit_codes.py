"""Flows run from the shell: their exit codes, and messages where they cannot start."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from httpx import HTTPError
from prefect import Flow
from prefect.settings import PREFECT_API_URL

from components.common.errors import InputError, Unavailable, explained
from flows.prefect.server import check_server, explain

INVALID = "Invalid"  # name of a state after a mistake in configuration or data
UNAVAILABLE = "Unavailable"  # and where a service did not answer, so that a retry may succeed
STOPPED = 130  # exit code of a run that somebody stopped, as of a shell after Ctrl-C
CODES = {INVALID: 2, UNAVAILABLE: os.EX_TEMPFAIL}


def exit_code(
    flow: Flow, check: Callable[[], Any], print_state: bool = True, **parameters: Any
) -> int:
    """Run a flow if Prefect's server answers and `check` finds no mistake; return an exit code.

    Without PREFECT_API_URL the flow starts a server, which takes longer than to check.

    0; 2 after a mistake in configuration or data, 75 if a service does not answer, 130 if somebody
    stopped the run, 1 after a fault.
    """
    # Background jobs of a shell ignore SIGINT by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if PREFECT_API_URL.value():
            check_server()
        with explained():
            check()
        state = flow(**parameters, return_state=True)
    except (InputError, Unavailable) as error:
        return _report(error)
    except HTTPError as error:
        return _report(explain(error))
    except KeyboardInterrupt:
        return STOPPED
    if print_state:
        print(f"{state.name}: {state.message}")
    if state.is_completed():
        return 0
    if state.is_cancelled():
        return STOPPED
    return CODES.get(state.name or "", 1)


def _report(error: InputError | Unavailable) -> int:
    """Print a message; return its exit code."""
    print(f"error: {error}", file=sys.stderr)
    return CODES[INVALID if isinstance(error, InputError) else UNAVAILABLE]
