"""Stage: list the files of code that each stage can run, with hashes of their content.

DVC compares a stage's listing with that of its last run, and reads one dependency in place of
hundreds.
"""

from dataclasses import dataclass
from pathlib import Path

from components.code.stage_code import code_of
from components.common.errors import InputError
from components.common.files import write_text
from components.common.source_code import ROOT
from components.stage.arguments import Arguments, option, output_path
from components.stage.code_listing import listing
from components.stage.settings import Settings
from components.stage.stage import Stage


@dataclass(frozen=True, kw_only=True)
class CodeArguments(Arguments):
    """Which stages there are, and where their listings go."""

    stages: tuple[str, ...] = option("packages in components, or PACKAGE_MODALITY")
    listings: Path = output_path("folder, a file per stage, as `sha256sum --check` reads it")


def work(arguments: CodeArguments, _: Settings) -> None:
    """Write the listing of each stage."""
    for stage in arguments.stages:
        package = stage.partition("_")[0]
        if not (ROOT / "components" / package / "__main__.py").is_file():
            raise InputError(f"--stages: {stage}: there is no components/{package}/__main__.py")
        write_text(arguments.listings / f"{stage}.txt", listing(code_of(stage)))


STAGE = Stage(__doc__, CodeArguments, lambda _: Settings, work)

if __name__ == "__main__":
    STAGE.main()
