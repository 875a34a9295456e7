"""Every module that can be run: its help names it, and what it does not know is refused."""

import runpy
import sys

import pytest

from tests.support.params import ROOT


def runnable() -> list[str]:
    """Return all modules that do something when they are run."""
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for package in ("components", "flows", "benchmarks")
        for path in sorted((ROOT / package).rglob("*.py"))
        if '\nif __name__ == "__main__":\n' in path.read_text()
    ]


@pytest.fixture(params=runnable())
def run(request, monkeypatch, tmp_path):
    """Run a module with a command line in an empty folder; return its name and exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[str, int]:
        monkeypatch.setattr(sys, "argv", [request.param, *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_module(request.param, run_name="__main__", alter_sys=True)
        assert list(tmp_path.iterdir()) == []
        return request.param, end.value.code

    return run


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_help_names_the_module(run, capsys):
    name, code = run("--help")
    assert code == 0
    assert capsys.readouterr().out.split()[:4] == ["usage:", "python", "-m", name]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_unknown_option_is_refused(run, capsys):
    name, code = run("--nonsense")
    assert code == 2
    error = capsys.readouterr().err
    assert error.split()[:4] == ["usage:", "python", "-m", name]
    assert "unrecognized arguments: --nonsense" in error or "are required" in error
