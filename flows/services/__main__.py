"""Start, stop or show PostgreSQL, MLflow and Prefect on loopback, with passwords.

python -m flows.services start
python -m flows.services user add ana
"""

import argparse
import getpass
import secrets
import sys
from pathlib import Path

from components.common import command_line
from components.common.errors import InputError, explained
from flows.processes.process import ServiceFailed
from flows.services.services import PORTS, Services, exports

FOLDER = Path("services")


def main(argv: list[str] | None = None) -> int:
    """Run the command; exit code 2 for a mistake, 1 for a service that fails."""
    args = parser().parse_args(argv)
    services = Services(args.folder)
    try:
        with explained():
            print(user(services, args) if args.what == "user" else operate(services, args))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServiceFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument("--folder", type=Path, default=FOLDER, help="of data, logs and secrets")
    made = command_line.parser(__doc__)
    what = made.add_subparsers(dest="what", required=True)
    start = what.add_parser("start", parents=[folder], help="start what is not running")
    for name, usual in PORTS.items():
        start.add_argument(f"--{name}-port", type=port, help=f"default {usual}; 0: any free port")
    what.add_parser("stop", parents=[folder], help="stop exactly those")
    what.add_parser("status", parents=[folder], help="show what runs where")
    users = what.add_parser("user", help="accounts of MLflow, one per person")
    action = users.add_subparsers(dest="action", required=True)
    add = action.add_parser("add", parents=[folder], help="create one, and print its shell")
    add.add_argument("name")
    add.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from standard input, or ask for it (default: made and shown once)",
    )
    remove = action.add_parser("remove", parents=[folder], help="delete one")
    remove.add_argument("name")
    action.add_parser("list", parents=[folder], help="show their names")
    return made


def port(word: str) -> int:
    """Return the number of a port; raise ValueError if there is none."""
    if not 0 <= (number := int(word)) < 2**16:
        raise ValueError(word)
    return number


def operate(services: Services, args: argparse.Namespace) -> str:
    """Start, stop or look at the services; return what to print."""
    if args.what == "stop":
        stopped = (f"stopped {name}" for name in services.stop())
        return "\n".join(stopped) or "nothing was running"
    if args.what == "start":
        asked = {name: getattr(args, f"{name}_port") for name in PORTS}
        services.start({name: port for name, port in asked.items() if port is not None})
    return services.page()


def user(services: Services, args: argparse.Namespace) -> str:
    """Add, remove or list accounts; return what to print."""
    accounts = services.accounts()
    if args.action == "list":
        return "\n".join(accounts.names())
    if args.action == "remove":
        accounts.remove(args.name)
        return f"removed {args.name}"
    password = read_password() if args.password_stdin else secrets.token_urlsafe(24)
    accounts.add(args.name, password)
    environment = services.environment() | {"MLFLOW_TRACKING_USERNAME": args.name}
    environment["MLFLOW_TRACKING_PASSWORD"] = password
    if args.password_stdin:
        del environment["MLFLOW_TRACKING_PASSWORD"]
        note = "# The shell of {}, who adds MLFLOW_TRACKING_PASSWORD:\n"
    else:
        note = "# The shell of {}; the password is shown only here:\n"
    return (note.format(args.name) + exports(environment)).rstrip()


def read_password() -> str:
    """Return the first line of standard input; ask for it at a terminal."""
    if sys.stdin.isatty():
        return getpass.getpass("password: ")
    return sys.stdin.readline().rstrip("\r\n")


if __name__ == "__main__":
    sys.exit(main())
