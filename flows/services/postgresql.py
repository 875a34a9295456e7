"""A private PostgreSQL cluster in a folder, from the system's package."""

import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import InputError
from flows.services.processes import Process, ServiceFailed

USER = "synesthesia"
DEBIAN = Path("/usr/lib/postgresql")  # its package leaves the server's programs off PATH
ACCOUNT = "postgres"  # made by the package
FAST = signal.SIGINT  # as `pg_ctl stop --mode fast` sends


@dataclass(frozen=True)
class PostgreSQL:
    """A cluster.

    Attributes:
        folder: holds the cluster's files and its log.
        port: on loopback.
        password: of its one user.
    """

    folder: Path
    port: int
    password: str

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def uri(self, database: str, driver: str = "postgresql") -> str:
        """A database's address, with the password in it."""
        return f"{driver}://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Process:
        """Start the cluster, made first if it is not there, and wait until it answers.

        Raises:
            InputError: PostgreSQL is not installed, or its account cannot enter the folder.
            ServiceFailed: it does not start.
        """
        account = _account()
        identity = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid}
        data = self.folder / "cluster"
        self._make(data, identity)
        options = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
        argv = [program("postgres"), "-D", data, "-p", str(self.port), *options]
        # A killed cluster's last processes may hold its memory a moment longer.
        for last in (False, False, True):
            process = Process.start(argv, _plain(), self.log, data, **identity)
            try:
                process.wait(self.answers, "PostgreSQL", self.log)
            except ServiceFailed:
                process.end(FAST)
                if last:
                    raise
            else:
                return process

    def answers(self) -> bool:
        """Whether it lets its user in."""
        import psycopg2

        try:
            psycopg2.connect(self.uri("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def create(self, *databases: str) -> None:
        """Make the databases that are not there."""
        import psycopg2

        connection = psycopg2.connect(self.uri("postgres"))
        connection.autocommit = True  # a database cannot be made inside a transaction
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            known = {name for (name,) in cursor.fetchall()}
            for name in databases:
                if name not in known:
                    cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()

    def _make(self, data: Path, identity: dict[str, int]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if (data / "PG_VERSION").exists():
            return
        shutil.rmtree(data, ignore_errors=True)  # of an initdb that was interrupted
        data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.password)
        if identity:
            for path in (data, password):
                os.chown(path, identity["user"], identity["group"])
        made = subprocess.run(
            [
                *(program("initdb"), "-D", data, "--username", USER, "--pwfile", password),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            ],
            capture_output=True,
            text=True,
            env=_plain(),
            cwd="/",
            **identity,
        )
        password.unlink()
        if made.returncode:
            shutil.rmtree(data, ignore_errors=True)
            if "ermission denied" in made.stderr:
                raise InputError(
                    f"the account {ACCOUNT}, as which PostgreSQL runs when root starts it, cannot "
                    f"enter {self.folder}. Name a folder that it can enter: --folder /srv/services"
                )
            raise ServiceFailed(f"initdb could not make {data}:\n{made.stderr}")


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, of its newest version.

    Raises:
        InputError: it is not installed.
    """
    versions = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if found := (str(versions[-1]) if versions else shutil.which(name)):
        return found
    raise InputError(
        f"PostgreSQL's program {name!r} is neither in {DEBIAN}/*/bin nor on PATH. Install it, as "
        "by: apt-get install postgresql"
    )


def _account() -> pwd.struct_passwd | None:
    """As whom to run it: root is refused by PostgreSQL."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise InputError(
            f"PostgreSQL does not run as root, and there is no account {ACCOUNT!r} to run it as. "
            "Start the services as another user, or install Debian's package"
        ) from None


def _plain() -> dict[str, str]:
    """An environment without variables of PostgreSQL's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
