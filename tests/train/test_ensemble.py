"""Trained models become one in place of training."""

import pytest
import torch

from components.common.errors import InputError
from components.model.folder import save_model
from components.train.ensemble import load_members
from components.train.export_pretrained import export_pretrained
from components.train.warm_start import warm_start
from tests.support.tiny_model import make_model, make_processors
from tests.train.small_data import train_settings


@pytest.fixture
def folders(tmp_path):
    for number in (1, 2):
        save_model(tmp_path / f"fold-{number}", make_model(seed=number), make_processors())
    return [tmp_path / f"fold-{number}" for number in (1, 2)]


@pytest.fixture
def ensemble(folders, tmp_path):
    save_model(tmp_path / "ensemble", *load_members(folders))
    return tmp_path / "ensemble"


def test_members_are_those_in_the_folders(folders):
    model, states = load_members(folders)
    assert model.config.members == 2
    assert states == make_processors()


def test_single_member_is_the_model_itself(folders):
    model, _ = load_members(folders[:1])
    alone = make_model(seed=1).state_dict()
    assert model.config.members == 1
    assert all(torch.equal(value, alone[name]) for name, value in model.state_dict().items())


def test_other_processor_is_refused(folders, tmp_path):
    other = make_processors(text="quite another text")
    save_model(tmp_path / "odd", make_model(), other)
    with pytest.raises(InputError, match="odd has another processor of text than the first"):
        load_members([*folders, tmp_path / "odd"])


def test_missing_folder_is_refused(folders, tmp_path):
    with pytest.raises(InputError, match="train.ensemble: .*/nowhere does not exist"):
        load_members([*folders, tmp_path / "nowhere"])


def test_training_does_not_start_from_an_ensemble(ensemble, tmp_path):
    with pytest.raises(InputError, match="is an ensemble of several models"):
        warm_start(ensemble, make_model(), make_processors(), train_settings())
    with pytest.raises(InputError, match="is an ensemble of 2 models, and training starts from"):
        export_pretrained(ensemble, "champion", tmp_path / "pretrained")
