"""Which stages will run, and why: `python -m flows.why`."""

import sys

from components.common.errors import InputError
from flows.stages import Stages


def main() -> int:
    """Print a line a stage that changed or that follows from one; exit code 2 for a mistake."""
    try:
        stages = Stages()
        reasons: dict[str, str] = {}
        for planned in stages.plan():
            dirty = [name for name in planned.upstream if name in reasons]
            if reason := stages.why(planned.name):
                reasons[planned.name] = reason
            elif dirty:
                reasons[planned.name] = f"if {' or '.join(dirty)} makes something else"
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    width = max(map(len, reasons), default=0)
    for name, reason in reasons.items():
        print(f"  {name:<{width}}  {reason}")
    if not reasons:
        print("nothing to do: every stage is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
