"""Check params.yaml as a whole, before any stage runs: `python -m flows.check`.

Each stage checks the sections that it reads itself. Importing all of them imports torch.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from components.align.settings import AlignStageSettings
from components.common.errors import InputError, nearest
from components.evaluate.evaluation.settings import EvaluationSettings
from components.evaluate.settings import EvaluateStageSettings
from components.features.settings import settings_for as features_settings
from components.ingest.settings import IngestStageSettings
from components.modalities.registry import MODALITIES
from components.preprocess.settings import settings_for as preprocess_settings
from components.register.settings import RegisterStageSettings
from components.stage.settings import Settings, parse_yaml, problems
from components.stage.stage import exit_codes
from components.train.settings import TrainStageSettings
from flows.settings import PARAMS, FlowSettings

STAGES: tuple[type[Settings], ...] = (
    IngestStageSettings,
    *map(preprocess_settings, MODALITIES),
    *map(features_settings, MODALITIES),
    AlignStageSettings,
    TrainStageSettings,
    EvaluateStageSettings,
    EvaluationSettings,
    RegisterStageSettings,
    FlowSettings,
)


def main() -> None:
    """Check a file; exit code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description="Check a parameter file.")
    parser.add_argument("params", type=Path, nargs="?", default=PARAMS)
    path = parser.parse_args().params
    with exit_codes():
        try:
            check_text(path.read_bytes(), path)
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing. Name another file: flows.check FILE") from error
    print(f"{path}: every key and value is valid")


def check_text(text: bytes, path: Path) -> None:
    """Raise InputError with everything that is wrong in a parameter file's content."""
    content = parse_yaml(text, path)
    if found := list(dict.fromkeys(_problems(content))):
        lines = "\n".join(f"  {line}" for line in found)
        raise InputError(f"{path} cannot be used:\n{lines}")


def _problems(content: object) -> Iterator[str]:
    fields = [stage.model_fields for stage in STAGES]
    sections = {field.alias or name: None for found in fields for name, field in found.items()}
    for key in content if isinstance(content, dict) else ():
        if key not in sections:
            yield f"{key}: unknown key. {nearest(str(key), list(sections))}"
    for stage in STAGES:
        yield from problems(content, stage)


if __name__ == "__main__":
    main()
