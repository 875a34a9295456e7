"""`dvc repro` with nothing to do, against `dvc repro` in an empty project."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Comparison, Figure, duration
from benchmarks.project import Project
from components.common.errors import InputError

REPETITIONS = 9


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the row of the table, for an empty project with the same configuration.

    Raises:
        InputError: the project in `folder` is not up to date, so that stages would run.
    """
    project = Project(folder)
    if changed := project.status():
        raise InputError(f"{', '.join(sorted(changed))} changed since they ran. Run: dvc repro")
    with TemporaryDirectory() as name:
        empty = Project.of_stages(Path(name), {})
        (empty.path / ".dvc/config").write_text((folder / ".dvc/config").read_text())
        repro, repro_empty = (partial(p.run, "dvc", "repro", "--quiet") for p in (project, empty))
        repro(), repro_empty()  # caches warm
        times = [(duration(repro), duration(repro_empty)) for _ in range(REPETITIONS)]
    found = Comparison.of(times)
    value = f"{found.ratio:.2f} × ({found.value:.2f} s against {found.reference:.2f} s)"
    yield Figure("`dvc repro` with nothing to do, against an empty DVC project", value, "≤ 1.2 ×")
