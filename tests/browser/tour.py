"""The pictures of docs/tour.md, from the project in the working directory: `make tour`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from flows.services.services import Services
from tests.browser.project import tell
from tests.support.clone import Clone
from tests.support.params import change, write_params
from tests.support.servers import ANY_PORTS

PICTURES = Path("docs/tour")
LONGER = 6  # epochs that the challenger learns longer than the champion


def main() -> int:
    """Take the pictures on servers and a clone of their own, so that nothing here changes."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        home = Path(folder)
        home.chmod(0o711)  # PostgreSQL's account passes through
        services = Services(home / "services")
        try:
            services.start(ANY_PORTS)
            told = tell(services, champion(services, home / "synesthesia"), PICTURES.resolve())
        finally:
            services.stop()
    print(f"{PICTURES}: the run ended as {told.state}, version {told.challenger} is the champion")
    return 0 if told.state == "Completed" else 1


def champion(services: Services, path: Path) -> Clone:
    """A clone of the last commit whose model is the champion, and that shall learn longer."""
    subprocess.run(["git", "clone", "-q", ".", path], check=True)
    clone, environment = Clone(path), services.environment()
    clone.run("dvc", "cache", "dir", "--local", str(Path(".dvc/cache").resolve()))
    clone.run("dvc", "checkout", "-q", "--allow-missing")
    clone.run("dvc", "repro", "-q", **environment)  # what is not in the cache
    clone.run("dvc", "repro", "-q", "--single-item", "--force", "register", **environment)
    os.environ.update(environment)  # MLflow's client finds the password there
    import mlflow

    client = mlflow.MlflowClient()
    client.set_registered_model_alias("synesthesia", "champion", "1")
    params = yaml.safe_load(clone.read("params.yaml"))
    longer = change(params, {"train.epochs": params["train"]["epochs"] + LONGER})
    write_params(path / "params.yaml", longer)
    return clone


if __name__ == "__main__":
    sys.exit(main())
