"""Open MLflow's UI, and Prefect's if its server runs: `python -m flows.ui`."""

import os
import subprocess
import sys
from collections.abc import Sequence

from components.common import command_line
from components.registry.tracking import store_uri
from flows.services.servers import HOST, answers, mlflow_command, mlflow_environment

PORT = 5000
PREFECT = f"http://{HOST}:4200"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve MLflow on loopback until Ctrl-C."""
    command_line.parser(__doc__).parse_args(argv)
    store = store_uri()
    if store.startswith("http"):
        print(f"MLflow's server is {store}; open it in a browser")
        return 0
    print(f"MLflow   http://{HOST}:{PORT}   ({store}; Ctrl-C ends it)")
    prefect = "running" if answers(f"{PREFECT}/api/health") else "start it: prefect server start"
    print(f"Prefect  {PREFECT}   ({prefect})")
    sys.stdout.flush()
    try:
        return subprocess.call(mlflow_command(PORT), env=os.environ | mlflow_environment(store))
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
