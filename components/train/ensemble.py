"""An ensemble instead of training: trained models become one whose answers are averaged."""

from collections.abc import Sequence
from pathlib import Path

from components.common.errors import InputError
from components.model.ensemble import ensemble_of
from components.model.folder import ProcessorStates, load_model, load_processor_states
from components.model.multimodal import MultimodalModel


def load_members(folders: Sequence[Path]) -> tuple[MultimodalModel, ProcessorStates]:
    """Return the models in some folders as one, and the states of the processors that they share.

    Raises:
        InputError: a folder holds no model, or the models do not fit together.
    """
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise InputError(
            f"train.ensemble: {missing[0]} does not exist. Put a trained model's folder there, or "
            "name others"
        )
    models = {str(folder): load_model(folder) for folder in folders}
    states = {name: load_processor_states(Path(name), model) for name, model in models.items()}
    first, *_ = states.values()
    for name, found in states.items():
        if odd := [m for m, state in found.items() if state != first.get(m)]:
            raise InputError(
                f"train.ensemble: {name} has another processor of {', '.join(odd)} than the first "
                "member, so that no file means the same to both. Name models of the same settings"
            )
    return ensemble_of(models) if len(models) > 1 else next(iter(models.values())), first
