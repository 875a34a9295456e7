"""The processors of a whole model."""

from collections.abc import Callable, Mapping

from tokenizers import Tokenizer

from components.huggingface.description import Description
from components.modalities.audio.spectrogram import AudioProcessor
from components.modalities.audio.waveform import WaveformProcessor
from components.modalities.image.decoding import ImageProcessor
from components.modalities.image.huggingface_processor import HuggingFaceImageProcessor
from components.modalities.registry import Modality
from components.modalities.settings import PreprocessSettings
from components.modalities.text.processing import TextProcessor


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
