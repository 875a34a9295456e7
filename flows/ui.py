"""MLflow's pages, and Prefect's if its server runs: `python -m flows.ui`."""

import os
import subprocess
import sys
import urllib.error
import urllib.request

from components.registry.tracking import DEFAULT_URI

HOST, PORT = "127.0.0.1", "5000"
PREFECT = "http://127.0.0.1:4200"


def main() -> int:
    """Serve MLflow on loopback until Ctrl-C."""
    store = os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI)
    if store.startswith("http"):
        print(f"MLflow's server is {store}; open it in a browser")
        return 0
    print(f"MLflow   http://{HOST}:{PORT}   ({store}; Ctrl-C ends it)")
    prefect = "running" if answers(PREFECT) else "start it: prefect server start"
    print(f"Prefect  {PREFECT}   ({prefect})")
    sys.stdout.flush()
    # Its job runner would start seven more processes that nothing here needs.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    try:
        return subprocess.call([*command, "--host", HOST, "--port", PORT], env=environment)
    except KeyboardInterrupt:
        return 0


def answers(url: str) -> bool:
    """Whether a server answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main())
