"""Check a parameter file and say what is wrong with it."""

import argparse
import sys
from pathlib import Path

from components.common.errors import InputError
from components.config.load import load_settings


def main() -> None:
    """Check a parameter file; exit code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description="Check a parameter file.")
    parser.add_argument("params", type=Path, nargs="?", default=Path("params.yaml"))
    path = parser.parse_args().params
    try:
        load_settings(path)
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(f"{path}: every key and value is valid")


if __name__ == "__main__":
    main()
