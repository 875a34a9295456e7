"""Training that starts from the champion: what params.yaml says then."""

from flows.promotion.registered_model import RegisteredModel
from flows.retraining.warm_start import start_from_champion
from flows.settings import PARAMS
from tests.support.params import small_params, write_params


def test_without_champion_nothing_changes(registered):
    before = PARAMS.read_bytes()
    assert start_from_champion(RegisteredModel()) is None
    assert PARAMS.read_bytes() == before


def test_without_model_nothing_changes(store):
    write_params(PARAMS, small_params({"register.model": f"model-{store.unique}"}))
    before = PARAMS.read_bytes()
    assert start_from_champion(RegisteredModel()) is None
    assert PARAMS.read_bytes() == before
