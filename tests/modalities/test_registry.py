"""The registry of modalities: each folder has the parts that its contract names."""

import pytest

from components.common.errors import InputError
from components.common.plugins import has_part
from components.huggingface.models import EncoderInterface
from components.modalities.encoding import Pretext, pretext_of
from components.modalities.registry import (
    MODALITIES,
    corruptions_of,
    encoders_of,
    inspection_of,
    language_modalities,
    modality,
    processing_of,
    transcripts_of,
)
from components.train.settings import TrainStageSettings
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

PACKAGE = "components.modalities"
SETTINGS = small_settings(TrainStageSettings)


@pytest.mark.parametrize("m", MODALITIES)
def test_required_parts_are_complete(m):
    record = modality(m)
    assert record.name == record.encoder_names.modality == m
    assert isinstance(SETTINGS.preprocess[m], record.inputs)
    assert isinstance(SETTINGS.features[m], record.encoder)
    parts = {
        inspection_of: ("inspect", "preview"),
        processing_of: ("prepare", "build", "export"),
        encoders_of: ("build",),
    }
    for load, functions in parts.items():
        assert all(callable(getattr(load(m), function)) for function in functions)
    assert isinstance(encoders_of(m).INTERFACE, EncoderInterface)
    assert corruptions_of(m)


@pytest.mark.parametrize("m", MODALITIES)
def test_training_gives_pretext(m):
    inputs, options = SETTINGS.preprocess[m], SETTINGS.features[m]
    made = pretext_of(m, inputs, options)
    assert isinstance(made, Pretext)
    if made.losses is not None:
        encoder = encoders_of(m).build(inputs, options, None)
        assert set(made.losses(encoder, make_inputs(3)[m])) == set(modality(m).losses)


def test_optional_parts_may_be_absent():
    assert callable(transcripts_of("audio").transcript_objectives)
    assert has_part(PACKAGE, "audio", "transcripts")
    assert not has_part(PACKAGE, "image", "transcripts")


def test_language_modalities_are_texts():
    assert language_modalities() == ("text",)


def test_unknown_modality_suggests_nearest():
    with pytest.raises(InputError, match="modality 'imge' is unknown. Did you mean 'image'?"):
        modality("imge")
