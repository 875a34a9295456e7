"""Values of params.yaml are data: no shell ever sees them."""

import pytest

from tests.clone import Clone
from tests.stages import STAGES

ROOTS = ("my data", "$(touch hacked)/../source", "`touch hacked`", "a; touch hacked", "'\"", "-n")


@pytest.mark.parametrize("root", ROOTS)
def test_any_folder_name_works_as_the_root_of_the_data(tmp_path, root):
    clone = Clone.fresh(tmp_path / "clone", {"ingest.root": root})
    (clone.path / root).mkdir(parents=True, exist_ok=True)
    clone.run("dvc", "repro", "-q", "ingest")
    assert (clone.path / "data/samples.parquet").exists()
    assert not (clone.path / "hacked").exists()


def test_parameters_of_a_flow_reach_no_shell(tmp_path, prefect_api):
    clone = Clone.fresh(tmp_path / "clone")
    root = "$(touch hacked)"
    (clone.path / root).mkdir()
    words = ["--target", "ingest", "--set", f"ingest.root={root}"]
    clone.run("flows.pipeline", *words, PREFECT_API_URL=prefect_api)
    assert (clone.path / "data/samples.parquet").exists()
    assert not (clone.path / "hacked").exists()


def test_missing_root_is_named(tmp_path):
    clone = Clone.fresh(tmp_path / "clone", {"ingest.root": "my dta"})
    (clone.path / "my data").mkdir()
    message = "ingest.root: there is no folder 'my dta'. Did you mean 'my data'?"
    clone.refused(message, *STAGES["ingest"].words)
