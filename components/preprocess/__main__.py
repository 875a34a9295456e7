"""Stage `preprocess_<modality>`: files become tensors."""

import logging
from dataclasses import dataclass
from pathlib import Path

from components.common.files import write_json
from components.modalities.modality import Preparation
from components.modalities.registry import modality, processing_of
from components.preprocess.convert import convert_shards, count_cut
from components.preprocess.settings import PreprocessSettings, settings_for
from components.stage.arguments import Arguments, input_path, option, output_path
from components.stage.stage import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PreprocessArguments(Arguments):
    """The command line."""

    modality: str = option("of the files")
    media: Path = input_path("folder, the media shard set of the ingest stage")
    pretrained: Path = input_path("folder, where settings may name encoders and tokenizers")
    tensors: Path = output_path("folder, the tensor shard set")
    processor: Path = output_path("JSON, what rebuilds the processor")


def main(arguments: PreprocessArguments, settings: PreprocessSettings) -> None:
    """Run the stage."""
    m, processing = arguments.modality, processing_of(arguments.modality)
    encoder = getattr(settings.features, m)
    state = processing.prepare(
        Preparation(
            inputs=getattr(settings.preprocess, m),
            encoder=encoder.encoder,
            pretrained=arguments.pretrained,
            media=arguments.media,
            plain=getattr(encoder, "plain", False),
        )
    )
    processor = processing.build(state)
    convert_shards(arguments.media, arguments.tensors, processor, state, settings.workers)
    if limit := modality(m).limit:
        warn_of_cut(arguments.tensors, f"preprocess.{m}.{limit.setting}")
    write_json(arguments.processor, state)


def warn_of_cut(tensors: Path, setting: str) -> None:
    """Log how many files of a tensor shard set a setting cut, if any."""
    cut, count = count_cut(tensors)
    if cut:
        log.warning(
            "%d of %d files (%.1f %%) are longer than %s keeps, so their ends are cut; the data "
            "report says which value keeps how many labels whole",
            *(cut, count, 100 * cut / count, setting),
        )


STAGE = Stage(__doc__, PreprocessArguments, lambda given: settings_for(given.modality), main)

if __name__ == "__main__":
    STAGE.main()
