"""The encoder of a modality."""

from torch import nn

from components.config.section import Modality
from components.config.settings import FeatureSettings, PreprocessSettings
from components.model.encoders.audio import AudioEncoder
from components.model.encoders.image import ImageEncoder
from components.model.encoders.text import TextEncoder

ENCODERS = {"image": ImageEncoder, "text": TextEncoder, "audio": AudioEncoder}


def build_encoder(
    modality: Modality, preprocess: PreprocessSettings, features: FeatureSettings
) -> nn.Module:
    """The encoder of a modality, with fresh weights."""
    return ENCODERS[modality](getattr(preprocess, modality), getattr(features, modality))
