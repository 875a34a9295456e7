"""Prefect's server as a client finds it: whether it answers, and what is wrong if not."""

from http import HTTPStatus

from httpx import HTTPError, HTTPStatusError, InvalidURL, UnsupportedProtocol
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from components.common.errors import InputError, Unavailable
from components.registry.tracking import without_password

HELLO_SECONDS = 10.0  # Prefect's own 60, with its retries, make a server that hangs 7 minutes
LOGIN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
NOT_PREFECT = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def check_server() -> None:
    """Raise InputError or Unavailable unless Prefect's server answers at PREFECT_API_URL."""
    try:
        get_client(sync_client=True, httpx_settings={"timeout": HELLO_SECONDS}).hello().json()
    except (HTTPError, InvalidURL) as error:
        raise explain(error) from error
    except ValueError as error:  # of another server, or not an address
        raise InputError(_not_prefect()) from error


def explain(error: HTTPError | InvalidURL) -> InputError | Unavailable:
    """Return what an error of a request to the server means, with the way out."""
    status = error.response.status_code if isinstance(error, HTTPStatusError) else None
    if status in LOGIN:
        return InputError(
            f"{_server()} refuses the login. Set PREFECT_API_AUTH_STRING to user:password"
        )
    if status in NOT_PREFECT or isinstance(error, InvalidURL | UnsupportedProtocol):
        return InputError(_not_prefect())
    return Unavailable(
        f"{_server()} does not answer: {error}. Check that it runs and try again; finished stages "
        "are kept. PREFECT_API_URL names another server"
    )


def _server() -> str:
    return f"Prefect's server {without_password(PREFECT_API_URL.value() or 'of this process')}"


def _not_prefect() -> str:
    return (
        f"{_server()} is not one: nothing there speaks Prefect's API. Set PREFECT_API_URL to its "
        "address, which ends with /api, as http://127.0.0.1:4200/api"
    )
