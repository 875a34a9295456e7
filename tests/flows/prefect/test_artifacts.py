"""Pages and progress bars in Prefect's UI."""

import base64
import io
import json

import pytest
from PIL import Image

from tests.support.media import picture
from tests.support.params import ROOT


@pytest.fixture
def artifacts(prefect_api):
    """Read what is stored under a key: the data of each artifact, the oldest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    def read(key: str) -> list:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC)
        return [artifact.data for artifact in reversed(found)]

    return read


def test_run_shows_stages_and_metrics(done, run, artifacts):
    before = len(artifacts("stage-join"))
    (done.path / "raw.txt").write_text("c\nb\na\n")
    done.set("1e-5", "3e-5")
    run()
    rows = artifacts("stages")[-1].splitlines()
    assert rows[0] == "| stage | result | seconds | why |"
    (right,) = (row for row in rows if row.startswith("| right "))
    assert right.startswith("| right | ran | ")
    assert right.endswith(" | source.txt changed; params.yaml: right.rate changed |")

    lines = json.loads((done.path / "metrics.json").read_text())["lines"]
    pages = artifacts("stage-join")
    assert len(pages) == before + 1
    assert "\n\n```\nsh step.sh join\n```\n\n" in pages[-1]
    assert f"| lines | {lines} | +2 |" in pages[-1]


def test_stage_up_to_date_shows_no_page(done, run, artifacts):
    before = len(artifacts("stage-source"))
    run(targets=["source"])
    assert len(artifacts("stage-source")) == before


def test_plots_are_embedded_and_small(tmp_path):
    from flows.dvc.pages import stage_page
    from flows.dvc.plan import PlannedStage
    from flows.dvc.stages import Outcome
    from flows.prefect.artifacts import WIDTH

    (tmp_path / "plots").mkdir()
    picture(size=(3000, 1500)).save(tmp_path / "plots" / "noise.png")
    planned = PlannedStage("évaluate", (), "true", (), (tmp_path / "plots",))
    page = stage_page(planned, Outcome("évaluate", "ran", "forced", 1.0), {})
    start = "### noise\n\n![noise](data:image/png;base64,"
    shown = base64.b64decode(page.partition(start)[2].rstrip(")"))
    assert Image.open(io.BytesIO(shown)).size == (WIDTH, WIDTH // 2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("stage", "features_image"), "stage-features-image"),
        (("stage", "sub/dvc.yaml:make@A,1"), "stage-sub-dvc-yaml-make-a-1"),
        (("stages",), "stages"),
    ],
)
def test_key_has_characters_of_prefect(words, expected):
    from flows.prefect.artifacts import key

    assert key(*words) == expected


def test_cells_are_escaped():
    from flows.prefect.artifacts import table

    assert table(["why"], [["a|b\nc"]]).splitlines()[2] == "| a\\|b c |"


def test_bars_become_progress(toy, run, artifacts, monkeypatch):
    """The bars are tqdm's own, as stages print them."""
    import flows.prefect.artifacts as module

    monkeypatch.setattr(module, "LONG_SECONDS", 0.0)
    toy.hook(
        "source",
        """
cat > "$TOY_HOOKS/bar.py" <<'END'
from components.stage.progress import bar
with bar(label="a stage", unit="step", total=4, initial=1, mininterval=0) as shown:
    for _ in range(3):
        shown.update()
print("after")
END
PYTHONPATH=$ROOT python "$TOY_HOOKS/bar.py"
""",
    )
    monkeypatch.setenv("ROOT", str(ROOT))
    seen = []
    real = module.update_progress_artifact

    def update(artifact, percent, text):
        seen.append((percent, text.partition(" ")[0]))
        real(artifact, percent, text)

    monkeypatch.setattr(module, "update_progress_artifact", update)
    run(targets=["source"])
    assert artifacts("progress-source") == [100.0]
    assert list(dict.fromkeys(seen)) == [(50.0, "2/4"), (75.0, "3/4"), (100.0, "4/4")]


def test_text_after_bar_is_logged():
    from flows.prefect.artifacts import Progress

    lines = []
    take = Progress("train", lines.append)
    for line in ["start", "", "train:  40%|████      | 8/20 [00:05<00:07, 1.6step/s]a warning"]:
        take(line)
    assert lines == ["start", "a warning"]
