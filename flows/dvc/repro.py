"""Bring a stage and what it needs up to date, one after the other: what `dvc repro` does.

Exit code 2 for a mistake in configuration or data, 75 for a failure that may pass.
"""

import os
import sys
from collections.abc import Sequence

from components.common import command_line
from components.stage.stage import exit_codes
from flows.dvc.stages import StageFailed, Stages


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stages in the working directory that changed; return the exit code."""
    parser = command_line.parser(__doc__)
    parser.add_argument("stage")
    target = parser.parse_args(argv).stage
    with exit_codes():
        try:
            stages = Stages()
            for planned in stages.plan([target]):
                stages.run(planned.name)
        except StageFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return os.EX_TEMPFAIL if error.may_pass else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
