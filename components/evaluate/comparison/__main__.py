"""Compare two models by their evaluations, by the metrics of `promote.maximum_drop`."""

from dataclasses import asdict, dataclass
from pathlib import Path

from components.common.files import write_json
from components.evaluate.comparison.compare import compare_all
from components.evaluate.comparison.settings import ComparisonSettings
from components.evaluate.evaluation.results import Evaluation
from components.stage.arguments import Arguments, input_path, output_path
from components.stage.stage import Stage


@dataclass(frozen=True, kw_only=True)
class ComparisonArguments(Arguments):
    """The command line."""

    challenger: Path = input_path("folder, an evaluation")
    champion: Path = input_path("folder, an evaluation of the same test set")
    comparison: Path = output_path("JSON, one row per metric of promote.maximum_drop")


def main(arguments: ComparisonArguments, settings: ComparisonSettings) -> None:
    """Run the comparison."""
    challenger, champion = Evaluation(arguments.challenger), Evaluation(arguments.champion)
    margins = settings.promote.maximum_drop or {}
    rows = compare_all(challenger, champion, margins, settings.seed)
    write_json(arguments.comparison, [asdict(row) for row in rows])


STAGE = Stage(__doc__, ComparisonArguments, lambda _: ComparisonSettings, main)

if __name__ == "__main__":
    STAGE.main()
