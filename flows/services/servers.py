"""How MLflow's and Prefect's servers are started."""

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
# Checking a password takes longer than most requests, so MLflow may remember it for a minute. Its
# one process forgets it at once when it changes.
AUTH = """\
[mlflow]
default_permission = READ
database_uri = {users}
admin_username = {user}
auth_cache_ttl_seconds = 60
"""


def mlflow_command(port: int) -> list[str]:
    """MLflow's server; where it keeps what stands in the environment of `mlflow_environment`."""
    return [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]


def mlflow_environment(store: str, artifacts: Path | None = None) -> dict[str, str]:
    """What MLflow's server reads from its environment; addresses hold passwords.

    Args:
        store: address of the database.
        artifacts: folder of the artifacts that the server hands out; None: clients reach them.
    """
    # Its job runner would start seven more processes that nothing here needs.
    environment = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    if artifacts:
        environment["MLFLOW_ARTIFACTS_DESTINATION"] = artifacts.resolve().as_uri()
    return TELEMETRY_OFF | environment


def prefect_command(port: int) -> list[str]:
    """Prefect's server."""
    return [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]


def answers(url: str) -> bool:
    """Whether a server says at `url` that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
