"""`params.yaml` as typed, checked settings."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from components.common.errors import nearest
from components.config.operate import OperateSettings
from components.config.promote import Alias, PromoteSettings
from components.ingest.settings import IngestSettings
from components.modalities.registry import IDS
from components.modalities.settings import FeatureSettings, PreprocessSettings
from components.model.settings import ModelSettings
from components.stage.section import Section
from components.tasks.settings import RESERVED, PromptSettings, TaskSettings
from components.training.settings import AlignSettings, TrainSettings


class EvaluateSettings(Section):
    """What is measured beside the heads."""

    prompts: dict[str, PromptSettings]


class RegisterSettings(Section):
    """Where the model is registered."""

    experiment: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    alias: Alias


class Settings(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    threads: Annotated[int, Field(ge=1, le=256)]
    workers: Annotated[int, Field(ge=1, le=256)]
    ingest: IngestSettings
    tasks: Annotated[dict[str, TaskSettings], Field(min_length=1)]
    preprocess: PreprocessSettings
    features: FeatureSettings
    align: AlignSettings
    model: ModelSettings
    train: TrainSettings
    evaluate: EvaluateSettings
    register_: RegisterSettings = Field(alias="register")
    promote: PromoteSettings
    operate: OperateSettings

    @model_validator(mode="after")
    def _dropped_files_lie_apart(self):
        root, drop = Path(self.ingest.root), Path(self.operate.drop)
        apart = not (root.is_relative_to(drop) or drop.is_relative_to(root))
        if self.operate.fetch == "drop" and not apart:
            raise ValueError(
                f"operate.drop {drop} and ingest.root {root} lie in each other, so that a dropped "
                "file would be read before it is whole. Name another folder"
            )
        return self

    @model_validator(mode="after")
    def _names_do_not_clash(self):
        labels = {
            task.column
            for task in self.tasks.values()
            if task.kind != "retrieval" or task.column not in IDS  # those may be shared
        }
        if clash := sorted((labels | set(self.ingest.slices)) & {"split", *IDS}):
            raise ValueError(f"columns {', '.join(clash)} are the pipeline's own; rename them")
        return self

    @model_validator(mode="after")
    def _one_kind_a_column(self):
        words = "classification"  # as are slices, and what retrieval's assets share
        kinds = {column: {words} for column in self.ingest.slices}
        for task in self.tasks.values():
            kind = words if task.kind == "retrieval" else task.kind
            kinds.setdefault(task.column, set()).add(kind)
        if mixed := sorted(column for column, found in kinds.items() if len(found) > 1):
            raise ValueError(
                f"columns {', '.join(mixed)} are read by tasks of several kinds, or by a task and "
                "as a slice; only classification, retrieval and slices may share one. Give each "
                "other task a column of its own"
            )
        return self

    @model_validator(mode="after")
    def _a_head_is_learnt(self):
        if all(task.kind == "retrieval" for task in self.tasks.values()):
            raise ValueError(
                "tasks are all of kind retrieval, which the stage align learns; those after it "
                "train and evaluate heads, so declare a task of another kind too"
            )
        return self

    @model_validator(mode="after")
    def _text_encoder_knows_its_tokens(self):
        text, tokenizer = self.features.text, self.preprocess.text.tokenizer
        brings_its_own = text.encoder != "transformer"
        if brings_its_own and tokenizer is not None:
            raise ValueError(
                f"features.text.encoder {text.encoder} brings its tokenizer, so set "
                f"preprocess.text.tokenizer to null, found {tokenizer}"
            )
        if text.pretrained and tokenizer is None and not brings_its_own:
            raise ValueError(
                "features.text.pretrained needs preprocess.text.tokenizer: name the one that the "
                "encoder was taught with, since a new one would number other words"
            )
        return self

    @model_validator(mode="after")
    def _gates_are_for_tasks(self):
        if odd := sorted(self.promote.tasks_named - self.tasks.keys()):
            raise ValueError(
                f"promote is about the tasks {', '.join(map(repr, odd))}, which there are not. "
                f"{nearest(odd[0], list(self.tasks))}"
            )
        return self

    @model_validator(mode="after")
    def _the_champion_has_an_alias_of_its_own(self):
        if self.promote.alias == self.register_.alias:
            raise ValueError(
                f"register.alias and promote.alias are both {self.promote.alias}, so that every "
                "new model would be the champion. Rename one"
            )
        return self

    @model_validator(mode="after")
    def _names_of_tasks(self):
        # A task's name becomes that of a head, of a column and of a metric.
        odd = [n for n in self.tasks if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", n)]
        if odd:
            raise ValueError(
                f"tasks {odd}: only letters, digits, _ and - can be in a name, the first a letter "
                "or a digit"
            )
        confidences = {f"{name}_confidence" for name in self.tasks}  # columns of the answers
        if clash := sorted((RESERVED | confidences) & self.tasks.keys()):
            raise ValueError(f"tasks {clash} have names that are the pipeline's own; rename them")
        return self

    @model_validator(mode="after")
    def _prompts_are_for_classes(self):
        classified = [name for name, task in self.tasks.items() if task.kind == "classification"]
        if odd := [name for name in self.evaluate.prompts if name not in classified]:
            named = ", ".join(classified) or "none"
            raise ValueError(
                f"evaluate.prompts names {', '.join(odd)}; only tasks of kind classification can "
                f"have prompts: {named}"
            )
        return self
