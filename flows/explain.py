"""Print which stages will run, and why: `python -m flows.explain`."""

from collections.abc import Sequence

from components.common import command_line
from components.stage.stage import exit_codes
from flows.dvc.stages import Stages

FIRST = ("code", "settings")  # stages that write what the others are compared by, in seconds


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per stage that changed or that depends on one; exit code 2 for a mistake."""
    command_line.parser(__doc__).parse_args(argv)
    with exit_codes():
        _run_first()
        reasons = explain(Stages())
    width = max(map(len, reasons), default=0)
    for name, reason in reasons.items():
        print(f"  {name:<{width}}  {reason}")
    if not reasons:
        print("nothing to do: every stage is up to date")


def explain(stages: Stages) -> dict[str, str]:
    """Return stage → why it will run, in the order of the plan."""
    reasons: dict[str, str] = {}
    plan, changed = stages.plan(), stages.reasons()
    for planned in plan:
        waiting = [name for name in planned.upstream if name in reasons]
        if reason := changed[planned.name]:
            reasons[planned.name] = reason
        elif waiting:
            reasons[planned.name] = f"if {' or '.join(waiting)} changes its output"
    return reasons


def _run_first() -> None:
    """Run the stages that every other one waits for, so that only those are named that change."""
    stages = Stages()
    for planned in stages.plan():
        if planned.name in FIRST:
            stages.run(planned.name, log=lambda _: None)


if __name__ == "__main__":
    main()
