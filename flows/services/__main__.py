"""Start, stop or show PostgreSQL, MLflow and Prefect on loopback, with passwords.

python -m flows.services start
"""

import sys
from pathlib import Path

from components.common import command_line
from components.common.errors import InputError
from flows.processes.process import ServiceFailed
from flows.services.services import PORTS, Services

FOLDER = Path("services")


def main(argv: list[str] | None = None) -> int:
    """Run the command; exit code 2 for a mistake, 1 for a service that does not start."""
    parser = command_line.parser(__doc__)
    parser.add_argument("what", choices=["start", "stop", "status"])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of data, logs and secrets")
    for name, port in PORTS.items():
        parser.add_argument(f"--{name}-port", type=int, help=f"default {port}; 0: any free port")
    args = parser.parse_args(argv)
    services = Services(args.folder)
    try:
        if args.what == "stop":
            print("\n".join(f"stopped {name}" for name in services.stop()) or "nothing was running")
            return 0
        if args.what == "start":
            asked = {name: getattr(args, f"{name}_port") for name in PORTS}
            services.start({name: port for name, port in asked.items() if port is not None})
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServiceFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(services.page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
