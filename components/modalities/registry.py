"""The modalities, in the order that every loop over them has."""

from typing import Literal, get_args

Modality = Literal["image", "text", "audio"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)

IDS = ("sample_id", *(f"{modality}_id" for modality in MODALITIES))  # of the samples, by ingest
