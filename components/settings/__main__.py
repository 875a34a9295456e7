"""Stage: write every setting that the pipeline reads, with the defaults of those left out.

DVC compares the settings of a stage with those of its last run, and wants each to be in a file.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from components.common.files import write_text
from components.settings.pipeline import all_problems, resolved
from components.stage.arguments import Arguments, input_path, output_path
from components.stage.settings import Settings, parse_yaml, raise_problems
from components.stage.stage import Stage


@dataclass(frozen=True, kw_only=True)
class SettingsArguments(Arguments):
    """Where settings come from, and where all of them go."""

    params: Path = input_path("YAML, the settings that differ from the defaults")
    resolved: Path = output_path("YAML, every setting of the pipeline")


def work(arguments: SettingsArguments, _: Settings) -> None:
    """Read a parameter file, and write what it means."""
    content = parse_yaml(arguments.params.read_bytes(), arguments.params)
    raise_problems(arguments.params, all_problems(content))
    write_text(arguments.resolved, yaml.safe_dump(resolved(content), sort_keys=False))


STAGE = Stage(__doc__, SettingsArguments, lambda _: Settings, work)

if __name__ == "__main__":
    STAGE.main()
