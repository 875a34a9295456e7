"""A logged model and the packages that are installed."""

from importlib.metadata import version

from components.registry.versions import other_versions


def test_packages_of_other_versions_are_named(tmp_path):
    lines = [f"torch=={version('torch')}", "pandas==1.0.0", "no-such-package==2"]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    assert other_versions(tmp_path) == [
        f"pandas 1.0.0 (here {version('pandas')})",
        "no-such-package 2 (here none)",
    ]
