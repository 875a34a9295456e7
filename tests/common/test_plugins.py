"""Parts of plug-ins are imported when they are used."""

import importlib

import pytest

from components.common.plugins import load_part
from tests.support.params import ROOT
from tests.support.process import run_python


def test_part_is_module_in_folder_of_plugin():
    found = load_part("components.modalities", "text", "inspection")
    assert found is importlib.import_module("components.modalities.text.inspection")


@pytest.mark.parametrize(("name", "part"), [("smell", "inspection"), ("text", "smell")])
def test_unknown_part_is_import_error(name, part):
    with pytest.raises(ImportError, match="smell"):
        load_part("components.modalities", name, part)


def test_other_plugins_and_parts_stay_unimported():
    script = (
        "import sys\n"
        "from components.common.plugins import load_part\n"
        "load_part('components.modalities', 'text', 'inspection')\n"
        "print(*sorted(name for name in sys.modules if name.startswith('components.modalities.')))"
    )
    process = run_python("-c", script, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    imported = process.stdout.split()
    assert "components.modalities.text.inspection" in imported
    assert not {"components.modalities.audio", "components.modalities.text.encoders"} & {*imported}
