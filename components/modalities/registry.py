"""The registry of modalities, and loaders of the parts of their folders.

Loops over modalities have the order of `MODALITIES`. Adding a modality is one folder and one name
here.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from components.common.errors import InputError, nearest
from components.common.plugins import has_part, load_part

if TYPE_CHECKING:
    from components.modalities.corruption import Corruption
    from components.modalities.encoding import Encoders, Transcripts
    from components.modalities.modality import (
        Inspection,
        Modality,
        PlainFeatures,
        Processing,
        Remarks,
    )

MODALITIES: tuple[str, ...] = ("image", "text", "audio", "tabular")
VIEWS = "views"  # the loss of an encoder of any modality that no label trains


def modality(name: str) -> "Modality":
    """Return the record of a modality; InputError if there is no such modality."""
    if name not in MODALITIES:
        raise InputError(f"modality {name!r} is unknown. {nearest(name, list(MODALITIES))}")
    return load_part("components.modalities", name, "modality").MODALITY


def language_modalities() -> tuple[str, ...]:
    """Return the modalities whose assets are texts that people write, as prompts are."""
    return tuple(name for name in MODALITIES if modality(name).is_language)


def encoder_losses() -> set[str]:
    """Return the names of the losses of encoders besides those of tasks."""
    return {VIEWS, *(loss for name in MODALITIES for loss in modality(name).losses)}


def inspection_of(name: str) -> "Inspection":
    """Return how files of a modality are checked."""
    return load_part("components.modalities", name, "inspection")


def processing_of(name: str) -> "Processing":
    """Return how files of a modality become tensors."""
    return load_part("components.modalities", name, "processing")


def encoders_of(name: str) -> "Encoders":
    """Return the encoders of a modality."""
    return load_part("components.modalities", name, "encoders")


def transcripts_of(name: str) -> "Transcripts":
    """Return how encoders of a modality learn what is said."""
    return load_part("components.modalities", name, "transcripts")


def learns_transcripts(name: str) -> bool:
    """Return whether encoders of a modality can learn what is said, from texts beside assets."""
    return has_part("components.modalities", name, "transcripts")


def plain_features_of(name: str) -> "PlainFeatures | None":
    """Return what baselines see of a modality; None if they see nothing of it."""
    if not has_part("components.modalities", name, "plain_features"):
        return None
    return load_part("components.modalities", name, "plain_features")


def remarks_of(name: str) -> "Remarks | None":
    """Return what a modality finds odd about its assets; None if it says nothing."""
    if not has_part("components.modalities", name, "remarks"):
        return None
    return load_part("components.modalities", name, "remarks")


def corruptions_of(name: str) -> "Mapping[str, Corruption]":
    """Return the corruptions of a modality."""
    return load_part("components.modalities", name, "corruptions").CORRUPTIONS


def _known(name: str) -> str:
    if name not in MODALITIES:
        raise ValueError(f"found {name!r}. {nearest(name, list(MODALITIES))}")
    return name


ModalityName = Annotated[str, AfterValidator(_known)]


class PerModality:
    """Annotation of a mapping with a section per modality, which its record has as `part`."""

    def __init__(self, part: Literal["inputs", "encoder"]):
        self.part = part

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """See Pydantic's custom types."""
        fields = {}
        for m in MODALITIES:
            section = getattr(modality(m), self.part)
            schema = handler.generate_schema(section)
            schema = core_schema.with_default_schema(schema, default_factory=section)
            fields[m] = core_schema.typed_dict_field(schema, required=False)
        return core_schema.typed_dict_schema(fields, extra_behavior="forbid", strict=True)
