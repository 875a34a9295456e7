"""Training that starts from the champion: what params.yaml says then."""

from flows.promote import PARAMS, Desk
from flows.warm import start_from_champion
from tests.shrunk import small_params, write_params


def test_no_champion_no_change(store):
    write_params(PARAMS, small_params({"register.model": f"model-{store.unique}"}))
    before = PARAMS.read_bytes()
    assert start_from_champion(Desk(), PARAMS) is None
    assert PARAMS.read_bytes() == before
