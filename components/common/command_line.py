"""Command lines: each names the module that is run, refuses what it does not know, has `--help`."""

import argparse
import sys


def parser(description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser whose usage is that of the module which this process runs.

    Options may not be abbreviated, since a later option could make an abbreviation ambiguous.
    """
    return argparse.ArgumentParser(
        prog=program(),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def program() -> str:
    """Return the command that started this process, as `python -m flows.promote`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return sys.argv[0]
    return f"python -m {spec.name.removesuffix('.__main__')}"
