"""The encoder of a modality."""

from torch import nn

from components.config.encoders import FeatureSettings, PreprocessSettings
from components.config.section import Modality
from components.model.encoders.audio.build import build_audio
from components.model.encoders.huggingface.description import Description
from components.model.encoders.image.build import build_image
from components.model.encoders.text.build import build_text

BUILDERS = {"image": build_image, "text": build_text, "audio": build_audio}


def build_encoder(
    modality: Modality,
    preprocess: PreprocessSettings,
    features: FeatureSettings,
    description: Description | None = None,
) -> nn.Module:
    """The encoder of a modality, with fresh weights.

    Args:
        modality: that it encodes.
        preprocess: how its inputs are made.
        features: which encoder it is.
        description: of a model of Transformers, what rebuilds it.
    """
    inputs, options = getattr(preprocess, modality), getattr(features, modality)
    return BUILDERS[modality](inputs, options, description)
