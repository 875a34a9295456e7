"""The three services of a folder: their records, and the order in which they start."""

import json
import os
import secrets
import socket
import sys
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.files import write_json
from flows.processes.process import Process
from flows.services.accounts import Accounts
from flows.services.postgresql import FAST, PostgreSQL, identity
from flows.services.private import private_files, private_folder, write_private
from flows.services.servers import (
    AUTH,
    HOST,
    TELEMETRY_OFF,
    answers,
    mlflow_command,
    mlflow_environment,
    prefect_command,
)

PORTS = {"postgresql": 5433, "mlflow": 5000, "prefect": 4200}  # 5432 may be the system's own
MLFLOW_USER, PREFECT_USER = "admin", "admin"
DATABASES = ("mlflow", "mlflow_users", "prefect")
HEALTH = {"mlflow": "/health", "prefect": "/api/health"}
PAGES = "pages"  # of Prefect, copied from its package: the only files that are no secrets
SECRETS = ("postgresql", "mlflow", "prefect", "mlflow_forms")


class Services:
    """PostgreSQL, MLflow and Prefect with data, logs and secrets in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()

    def start(self, ports: dict[str, int] | None = None) -> None:
        """Start services that are not running; an existing cluster keeps its passwords.

        Port 0 is any free port; the default is that of the last time, or of `PORTS`. Raises
        InputError if PostgreSQL is not installed, a port is taken or the folder holds other files,
        and ServiceFailed.
        """
        self._check_folder()
        private_folder(self.folder, identity().get("group"))
        with private_files():
            self._choose(ports or {})
            self._start_postgresql()
            processes = {"mlflow": self._start_mlflow(), "prefect": self._start_prefect()}
            for name, process in processes.items():
                ready = partial(answers, self.url(name) + HEALTH[name])
                process.wait(ready, name, self.folder / f"{name}.log")
        write_private(self.folder / "environment", exports(self.environment()))

    def stop(self) -> list[str]:
        """Stop what `start` started, the database last; return the names of running services."""
        stopped = []
        for name in reversed(PORTS):
            if process := self.process(name):
                if process.members():
                    stopped.append(name)
                process.end(*([FAST] if name == "postgresql" else []))
            self._record(name).unlink(missing_ok=True)
        return stopped

    def process(self, name: str) -> Process | None:
        """Return the process of a service that was started and not stopped; it may be dead."""
        try:
            return Process(**_read(self._record(name)))
        except FileNotFoundError:
            return None

    def runs(self, name: str) -> bool:
        """Return whether a service's process is alive."""
        process = self.process(name)
        return process is not None and process.runs()

    def environment(self) -> dict[str, str]:
        """Return the variables by which clients of MLflow and Prefect find the servers."""
        return {
            "MLFLOW_TRACKING_URI": self.url("mlflow"),
            "MLFLOW_TRACKING_USERNAME": MLFLOW_USER,
            "MLFLOW_TRACKING_PASSWORD": self.secrets["mlflow"],
            "PREFECT_API_URL": f"{self.url('prefect')}/api",
            "PREFECT_API_AUTH_STRING": self.prefect_login,
        }

    def accounts(self) -> Accounts:
        """Return the accounts of MLflow; raise InputError if it does not run."""
        if not self.runs("mlflow"):
            raise InputError(
                f"MLflow of {self.folder} does not run. Start it: python -m flows.services start"
            )
        return Accounts(self.url("mlflow"), MLFLOW_USER, self.secrets["mlflow"])

    def url(self, name: str) -> str:
        """Return the address of a service."""
        return f"http://{HOST}:{self.ports[name]}"

    def page(self) -> str:
        """Return which service runs where, and how to reach it."""
        if not self._ports_file.exists():
            return f"no services in {self.folder}. Start them: python -m flows.services start"
        environment = os.path.relpath(self.folder / "environment")
        mlflow_password = self.secrets["mlflow"]
        lines = [
            f"{name:<11} {HOST}:{self.ports[name]:<6} {'runs' if self.runs(name) else 'stopped'}"
            for name in PORTS
        ]
        lines += [
            "",
            f"MLflow      {self.url('mlflow')}   user {MLFLOW_USER}, password {mlflow_password}",
            f"Prefect     {self.url('prefect')}   password {self.prefect_login}",
            f"this shell  . {environment}      (sets MLFLOW_TRACKING_URI, PREFECT_API_URL, "
            "their passwords)",
            f"logs        {os.path.relpath(self.folder)}/*.log",
        ]
        return "\n".join(lines)

    @property
    def prefect_login(self) -> str:
        """What Prefect's UI asks for as a password."""
        return f"{PREFECT_USER}:{self.secrets['prefect']}"

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Passwords, created at the first start; only their owner may read the file."""
        path = self.folder / "secrets.json"
        if not path.exists():
            made = {name: secrets.token_urlsafe(24) for name in SECRETS}
            write_private(path, json.dumps(made, indent=2))
        return _read(path)

    @property
    def ports(self) -> dict[str, int]:
        """Service → port, as chosen when they started."""
        return _read(self._ports_file)

    @property
    def database(self) -> PostgreSQL:
        """The cluster."""
        folder = self.folder / "postgresql"
        return PostgreSQL(folder, self.ports["postgresql"], self.secrets["postgresql"])

    def _check_folder(self) -> None:
        """Refuse a folder of something else, which must not be closed to other users."""
        if self._ports_file.exists() or not self.folder.exists():
            return
        if others := sorted(p.name for p in self.folder.iterdir() if not p.name.startswith(".")):
            raise InputError(
                f"{self.folder} holds other files, as {others[0]}. Name a folder for the services "
                "alone: --folder"
            )

    def _choose(self, asked: dict[str, int]) -> None:
        known = self.ports if self._ports_file.exists() else PORTS
        running = {name for name in PORTS if self.runs(name)}
        if moved := [name for name in running if asked.get(name) not in (None, 0, known[name])]:
            raise InputError(
                f"{', '.join(moved)} runs on another port than requested. Stop it first: "
                "python -m flows.services stop"
            )
        chosen = dict(known)
        for name in PORTS.keys() - running:
            self._end(name)  # leftovers of a killed process may hold the port
            chosen[name] = _free_port(name, asked.get(name, known[name]))
        if len(set(chosen.values())) < len(chosen):
            ports = ", ".join(f"{name} {port}" for name, port in chosen.items())
            raise InputError(f"two services have one port: {ports}. Give each its own")
        write_json(self._ports_file, chosen)

    def _end(self, name: str) -> None:
        if process := self.process(name):
            process.end()

    def _start_postgresql(self) -> None:
        if not self.runs("postgresql"):
            self._keep("postgresql", self.database.start())
        self.database.create(*DATABASES)

    def _start_mlflow(self) -> Process:
        config = self.folder / "mlflow_users.ini"
        users = self.database.uri("mlflow_users").replace("%", "%%")
        write_private(config, AUTH.format(users=users, user=MLFLOW_USER))
        environment = mlflow_environment(self.database.uri("mlflow"), self.folder / "artifacts") | {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.secrets["mlflow"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secrets["mlflow_forms"],
        }
        command = [*mlflow_command(self.ports["mlflow"]), "--app-name", "basic-auth"]
        return self._start("mlflow", [*command, "--workers", "1"], environment)

    def _start_prefect(self) -> Process:
        environment = TELEMETRY_OFF | {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": self.database.uri(
                "prefect", "postgresql+asyncpg"
            ),
            "PREFECT_SERVER_API_AUTH_STRING": self.prefect_login,
            "PREFECT_API_AUTH_STRING": self.prefect_login,  # for its own services
            "PREFECT_UI_API_URL": f"{self.url('prefect')}/api",
            "PREFECT_UI_STATIC_DIRECTORY": str(self.folder / "prefect" / PAGES),
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        }
        return self._start("prefect", prefect_command(self.ports["prefect"]), environment)

    def _start(self, name: str, command: list[str], more: dict[str, str]) -> Process:
        process = self.process(name)
        if process and process.runs():
            return process
        self._end(name)  # leftovers of a killed process would answer in its place
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MLFLOW_", "PREFECT_"))  # of another server, or of a test
        }
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        log = self.folder / f"{name}.log"
        process = Process.start(command, environment | more, log, self.folder)
        self._keep(name, process)
        return process

    def _keep(self, name: str, process: Process) -> None:
        write_json(self._record(name), asdict(process))

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    @property
    def _ports_file(self) -> Path:
        return self.folder / "ports.json"


def exports(environment: dict[str, str]) -> str:
    """Return an environment as lines of a shell."""
    return "".join(f"export {name}='{value}'\n" for name, value in environment.items())


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}. Restore it from a backup") from error


def _free_port(name: str, port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(
                f"port {port} for {name} cannot be used: {error.strerror}. Name another, or 0 for "
                f"any free port: --{name}-port 0"
            ) from error
        return probe.getsockname()[1]
