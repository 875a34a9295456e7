"""The processors of a whole model."""

from collections.abc import Callable, Mapping

from tokenizers import Tokenizer

from components.config.encoders import PreprocessSettings
from components.config.section import Modality
from components.model.encoders.huggingface.description import Description
from components.model.processors.audio import AudioProcessor
from components.model.processors.image import ImageProcessor
from components.model.processors.image_huggingface import HuggingFaceImageProcessor
from components.model.processors.text import TextProcessor
from components.model.processors.waveform import WaveformProcessor


def build_processors(
    settings: PreprocessSettings, descriptions: Mapping[Modality, Description], tokenizer: Tokenizer
) -> dict[Modality, Callable]:
    """What turns media into the tensors that the encoders of a model read.

    Args:
        settings: for encoders that are built here.
        descriptions: of those that are models of Transformers.
        tokenizer: of either kind.
    """
    image: Callable = ImageProcessor(settings.image)
    audio: Callable = AudioProcessor(settings.audio)
    if "image" in descriptions:
        image = HuggingFaceImageProcessor(descriptions["image"].inputs)
    if "audio" in descriptions:
        rate = descriptions["audio"].inputs["sampling_rate"]
        audio = WaveformProcessor(settings.audio, rate)
    return {"image": image, "text": TextProcessor(settings.text, tokenizer), "audio": audio}
