"""Stage `features_<modality>`: the encoder of a modality and the features of its assets."""

import logging

from safetensors.numpy import save_file

from components.common.files import replacing
from components.data.shards import finish, read_index
from components.data.tables import concat_tables, write_table
from components.features.arguments import FeaturesArguments
from components.features.settings import FeaturesSettings, settings_for
from components.stage.stage import Stage
from components.training.tables import HISTORY

log = logging.getLogger(__name__)


def main(arguments: FeaturesArguments, settings: FeaturesSettings) -> None:
    """Run the stage; torch is imported only if there are assets, since that takes seconds."""
    if read_index(arguments.tensors):
        from components.features.encode_modality import encode_modality

        encode_modality(arguments, settings)
    else:
        write_nothing(arguments)


def write_nothing(arguments: FeaturesArguments) -> None:
    """Write the outputs of a modality without assets: an encoder without weights, no features."""
    log.info("features_%s: no sample has %s", arguments.modality, arguments.modality)
    with replacing(arguments.encoder) as temporary:
        save_file({}, temporary)
    write_table(arguments.history, concat_tables([], HISTORY), HISTORY)
    arguments.features.mkdir(parents=True, exist_ok=True)
    finish(arguments.features, [], ".safetensors")


STAGE = Stage(__doc__, FeaturesArguments, lambda given: settings_for(given.modality), main)

if __name__ == "__main__":
    STAGE.main()
