"""A private PostgreSQL cluster in a folder, with the system's programs."""

import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import InputError
from flows.processes.process import Process, ServiceFailed
from flows.services.private import private_folder

USER = "synesthesia"
DEBIAN = Path("/usr/lib/postgresql")  # the package does not put the server's programs on PATH
ACCOUNT = "postgres"  # created by the package
TRIES = 3  # the last processes of a killed cluster may hold its memory for a moment
FAST = signal.SIGINT  # as sent by `pg_ctl stop --mode fast`


@dataclass(frozen=True)
class PostgreSQL:
    """A cluster on loopback with one user; its files and its log are in `folder`."""

    folder: Path
    port: int
    password: str

    def uri(self, database: str, driver: str = "postgresql") -> str:
        """Return a database's address, password included."""
        return f"{driver}://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Process:
        """Start the cluster, created if need be, and wait until it answers.

        Raises InputError if PostgreSQL is not installed or its account cannot enter the folder, and
        ServiceFailed if it does not start.
        """
        account = identity()
        data = self.folder / "cluster"
        self._create_cluster(data, account)
        options = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
        argv = [program("postgres"), "-D", data, "-p", str(self.port), *options]
        log, tries = self.folder / "log", 0
        while True:
            process = Process.start(argv, _plain(), log, data, **account)
            tries += 1
            try:
                process.wait(self.answers, "PostgreSQL", log)
                return process
            except ServiceFailed:
                process.end(FAST)
                if tries == TRIES:
                    raise

    def answers(self) -> bool:
        """Return whether it accepts connections."""
        import psycopg2

        try:
            psycopg2.connect(self.uri("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def create(self, *databases: str) -> None:
        """Create the databases that do not exist."""
        import psycopg2

        connection = psycopg2.connect(self.uri("postgres"))
        connection.autocommit = True  # databases cannot be created inside a transaction
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            known = {name for (name,) in cursor.fetchall()}
            for name in databases:
                if name not in known:
                    cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()

    def _create_cluster(self, data: Path, account: dict[str, int]) -> None:
        private_folder(self.folder, account.get("group"))
        if (data / "PG_VERSION").exists():
            return
        shutil.rmtree(data, ignore_errors=True)  # of an initdb that was interrupted
        data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.password)
        if account:
            for path in (data, password):
                os.chown(path, account["user"], account["group"])
        made = subprocess.run(
            [
                *(program("initdb"), "-D", data, "--username", USER, "--pwfile", password),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            ],
            capture_output=True,
            text=True,
            env=_plain(),
            cwd="/",
            user=account.get("user"),
            group=account.get("group"),
        )
        password.unlink()
        if made.returncode:
            shutil.rmtree(data, ignore_errors=True)
            if "ermission denied" in made.stderr:
                raise InputError(
                    f"the account {ACCOUNT}, as which PostgreSQL runs when root starts it, cannot "
                    f"enter {self.folder}. Name a folder that it can: --folder /srv/services"
                )
            raise ServiceFailed(f"initdb could not create {data}:\n{made.stderr}")


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, of its newest version."""
    versions = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if found := (str(versions[-1]) if versions else shutil.which(name)):
        return found
    raise InputError(
        f"PostgreSQL's program {name!r} is neither in {DEBIAN}/*/bin nor on PATH. Install it, for "
        "example: apt-get install postgresql"
    )


def identity() -> dict[str, int]:
    """Return the user and group to run it as: PostgreSQL refuses root."""
    if os.geteuid():
        return {}
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise InputError(
            f"PostgreSQL does not run as root, and there is no account {ACCOUNT!r} to run it as. "
            "Start the services as another user, or install Debian's package"
        ) from None
    return {"user": account.pw_uid, "group": account.pw_gid}


def _plain() -> dict[str, str]:
    """Return the environment without PostgreSQL's variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
