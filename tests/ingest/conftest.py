"""The stage ingest on rows of a test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest import labelled, report
from components.ingest.__main__ import STAGE
from components.ingest.sources.demo import DemoSettings
from components.ingest.sources.registry import SOURCES
from components.ingest.sources.source import Source
from tests.ingest.stage_rows import OUTPUTS, TASK
from tests.support.params import small_params, write_params


@pytest.fixture
def ingest(tmp_path, monkeypatch) -> Callable[..., int]:
    """Runs the stage on rows in place of the demo's; returns the exit code, 0 if it succeeds.

    Plots, which take most of the time, are drawn only if a test asks for them. Whether held-out
    rows have labels is checked only if it asks for that.
    """
    monkeypatch.chdir(tmp_path)
    Path("source").mkdir()

    def run(
        rows: list,
        tasks: dict | None = None,
        workers: int = 2,
        plots: bool = False,
        measurable: bool = False,
        split: str = "test",
        **changes,
    ) -> int:
        settings = {
            "ingest.max_bad_fraction": 0.9,
            "ingest.splits.validation": 0.0,
            "ingest.slices": ["voice"],
        }
        settings |= {f"ingest.{key.replace('__', '.')}": value for key, value in changes.items()}
        settings |= {"tasks": {"answer": TASK} if tasks is None else tasks, "workers": workers}
        settings["evaluate.split"] = split
        write_params(Path("params.yaml"), small_params(settings))
        words = [word for name, path in OUTPUTS.items() for word in (f"--{name}", path)]
        with pytest.MonkeyPatch.context() as patch:
            source = Source(DemoSettings, lambda settings, context: iter(rows))
            patch.setitem(SOURCES, "demo", source)
            if not plots:
                patch.setattr(report, "draw", lambda described, contents: {})
            if not measurable:
                patch.setattr(labelled, "check_labels", lambda report, split: None)
            try:
                STAGE.main(words)
            except SystemExit as end:
                return end.code
            finally:
                assert not [path for path in tmp_path.rglob(".*.tmp")]
        return 0

    return run
