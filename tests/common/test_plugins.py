"""Parts of plug-ins are imported when they are used."""

import importlib

import pytest

from components.common.plugins import load_part
from tests.support.params import ROOT
from tests.support.process import modules_loaded


def test_part_is_module_in_folder_of_plugin():
    found = load_part("components.modalities", "text", "inspection")
    assert found is importlib.import_module("components.modalities.text.inspection")


@pytest.mark.parametrize(("name", "part"), [("smell", "inspection"), ("text", "smell")])
def test_unknown_part_is_import_error(name, part):
    with pytest.raises(ImportError, match="smell"):
        load_part("components.modalities", name, part)


def test_other_plugins_and_parts_stay_unimported():
    imported = modules_loaded(
        "from components.common.plugins import load_part",
        "load_part('components.modalities', 'text', 'inspection')",
        cwd=ROOT,
    )
    assert "components.modalities.text.inspection" in imported
    assert not {"components.modalities.audio", "components.modalities.text.encoders"} & imported
