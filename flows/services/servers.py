"""Commands and environments of MLflow's and Prefect's servers."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

HOST = "127.0.0.1"
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
# Checking a password takes longer than most requests, so MLflow caches the result for a minute. Its
# only process drops it at once when a password changes.
AUTH = """\
[mlflow]
default_permission = READ
database_uri = {users}
admin_username = {user}
auth_cache_ttl_seconds = 60
"""


def mlflow_command(port: int) -> list[str]:
    """Return the command of MLflow's server; `mlflow_environment` says where it stores data."""
    return [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]


def mlflow_environment(store: str, artifacts: Path | None = None) -> dict[str, str]:
    """Return the environment of MLflow's server, which serves the folder `artifacts`, if any.

    Addresses of stores contain passwords, so that they are no arguments of the command.
    """
    # Its job runner would start seven more processes that are not needed here.
    environment = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if artifacts:
        environment["MLFLOW_ARTIFACTS_DESTINATION"] = artifacts.resolve().as_uri()
    return TELEMETRY_OFF | environment


def prefect_command(port: int) -> list[str]:
    """Return the command of Prefect's server."""
    return [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]


def answers(url: str) -> bool:
    """Return whether a server answers at `url`."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
