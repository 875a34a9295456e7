"""Settings of evaluation."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from components.common.errors import nearest
from components.data.samples import HeldOutSplit
from components.modalities.registry import MODALITIES
from components.stage.settings import Section, Settings, TorchSettings, WorkerSettings
from components.tasks.classification.settings import ClassificationSettings
from components.tasks.registry import Tasks


def _template(text: str) -> str:
    if text.count("{}") != 1:
        raise ValueError(f"found {text!r}, expected a text with one {{}}, where the class goes")
    return text


class PromptSettings(Section):
    """Prompts of a task: texts about an asset of each class."""

    templates: Annotated[
        tuple[Annotated[str, AfterValidator(_template)], ...], Field(min_length=1, strict=False)
    ]
    """Texts about a class, in which {} stands for it; their embeddings are averaged."""
    words: Mapping[str, Annotated[str, Field(min_length=1)]] = {}
    """What is said in place of a class's name, by class."""


class EvaluateSettings(Section):
    """What is measured, and on which samples."""

    split: HeldOutSplit = "test"
    """Samples that figures are of: test, or validation where the data has no labelled test split;
    training chooses by the latter, so that its figures are too good."""
    prompts: Mapping[str, PromptSettings] = {}
    """Zero-shot classification by the embeddings of align, by task of kind classification."""
    baselines: bool = True
    """Whether the model is compared with support vector machines and ridge regression on plain
    features."""


class _SplitGroup(Settings):
    group: str = MODALITIES[0]


class TestSplit(Settings):
    """The part of `ingest` that evaluation reads."""

    __test__ = False  # not a class of tests

    slices: Annotated[tuple[str, ...], Field(strict=False)] = ()
    splits: _SplitGroup = _SplitGroup()


class EvaluateStageSettings(WorkerSettings, TorchSettings):
    """What the stage reads of params.yaml."""

    tasks: Tasks
    ingest: TestSplit = TestSplit()
    evaluate: EvaluateSettings = EvaluateSettings()

    @model_validator(mode="after")
    def _prompts_are_for_classes(self):
        valid = [n for n, task in self.tasks.items() if isinstance(task, ClassificationSettings)]
        if odd := [name for name in self.evaluate.prompts if name not in valid]:
            raise ValueError(
                "evaluate.prompts: not tasks of kind classification: "
                f"{', '.join(map(repr, odd))}. {nearest(odd[0], valid)}"
            )
        return self
