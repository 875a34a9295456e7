"""The encoder of a modality."""

from torch import nn

from components.huggingface.description import Description
from components.modalities.audio.encoders.build import build_audio
from components.modalities.image.encoders.build import build_image
from components.modalities.registry import Modality
from components.modalities.settings import FeatureSettings, PreprocessSettings
from components.modalities.text.encoders.build import build_text

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
