"""README and docs agree with the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.reference import page as page_of_settings
from components.common.errors import InputError
from components.fusion.registry import FUSIONS
from components.ingest.sources.registry import SOURCES
from components.tasks.registry import KINDS
from components.training.task_sampling import SAMPLERS
from components.training.weighting.registry import WEIGHTINGS
from flows.check import check_content
from flows.crossvalidate import HOME
from tests.docs.code import (
    check_command,
    has_name,
    is_setting,
    main_module,
    reason_codes,
    sections,
    setting_names,
)
from tests.docs.pages import CODE as SPAN
from tests.docs.pages import PAGES, Page
from tests.support.params import ROOT, change, shipped
from tests.support.stages import STAGES, covered

LANGUAGES = {"sh", "yaml", "text", "csv", "python"}
KEY = re.compile(r"([a-z]+(?:\.[\w*<>-]+)+)(?:: .+)?")  # a setting with its section
SETTING = re.compile(r"([a-z_.]+): (.+)")  # a setting with a value
FILE = re.compile(r"\.(parquet|csv|json|safetensors|md|yaml|py|html|svg|toml|lock)$")
CODE = ("components", "flows", "tests", "benchmarks", "docs", "examples", "containers", ".ci")
OUTPUTS = ("data", "models", "reports", "work")
COLUMNS = {"image_id", "text_id", "audio_id", "row_id", "question_id", "question_type"}
CHOICES = {  # page → words that settings take
    "sources": SOURCES,
    "tasks": KINDS,
    "model": FUSIONS,
    "training": [*WEIGHTINGS, *SAMPLERS],
}

every_page = pytest.mark.parametrize("page", PAGES, ids=str)
COMMANDS = dict.fromkeys(command for page in PAGES for command in page.commands)


def laid_over(old, new):
    """Return settings with a block of docs laid over them.

    A section `ingest` with a source is complete, and so are choices with a kind.
    """
    whole = isinstance(new, dict) and ("kind" in new or "source" in new)
    if whole or not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: laid_over(old.get(key), value) for key, value in new.items()}}


def check_params(params: dict) -> None:
    """See that these can be the content of params.yaml."""
    check_content(params, Path("params.yaml"))


def keys_named(name: str, section: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted keys of settings that end with a name."""
    for key, value in section.items() if isinstance(section, dict) else ():
        if f".{path}{key}".endswith(f".{name}"):
            yield f"{path}{key}"
        yield from keys_named(name, value, f"{path}{key}.")


def accepts(key: str, value: Any) -> bool:
    """Return whether the shipped settings are valid with another value at a key."""
    try:
        check_params(change(shipped(), {key: value}))
    except InputError:
        return False
    return True


@every_page
def test_links_resolve(page: Page):
    for link in page.links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.path.parent / path if path else page.path
        assert target.exists(), link
        assert not anchor or anchor in Page(target).anchors, link


def test_every_page_that_is_named_exists():
    folders = [ROOT / name for name in ("components", "flows", "benchmarks", "examples")]
    kinds = (".py", ".yaml", ".jinja")
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds]
    files += [ROOT / name for name in ("Makefile", "params.yaml", "prefect.yaml", "dvc.yaml")]
    named = {found for path in files for found in re.findall(r"docs/\w+\.md", path.read_text())}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@every_page
def test_blocks_of_settings_are_valid(page: Page):
    for block in page.blocks:
        if page.path.parent.name == "docs":
            assert block.language in LANGUAGES, block
        if block.language == "yaml":
            content = yaml.safe_load(block.text)
            assert content.keys() <= sections(), f"not settings, use another language: {block.text}"
            check_params(laid_over(shipped(), content))


@every_page
def test_dotted_settings_exist(page: Page):
    for span in page.code:
        match = KEY.fullmatch(span)
        if match and match[1].split(".")[0] in sections() and not FILE.search(span):
            assert is_setting(match[1]), span


@every_page
def test_settings_take_the_values_named(page: Page):
    """With or without its section, one of the shipped settings of a name takes the value."""
    for key, value in {m.groups() for span in page.code if (m := SETTING.fullmatch(span))}:
        assert key.rpartition(".")[2] in setting_names(), f"{key}: {value}"
        found = list(keys_named(key, shipped()))
        tried = (accepts(name, yaml.safe_load(value)) for name in found)
        assert not found or any(tried), f"{key}: {value}"


@pytest.mark.parametrize(
    "key", ["train.clip", "ingest.table", "tasks.*.decided_by", "train.epochs.x"]
)
def test_unknown_settings_are_noticed(key):
    assert not is_setting(key)


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_described(name):
    page = Page(ROOT / "docs" / f"{name}.md")
    named = "\n".join([*page.code, *(block.text for block in page.blocks)])
    assert [word for word in CHOICES[name] if not re.search(rf"\b{word}\b", named)] == []


def test_reason_codes_are_those_of_the_code():
    cells = [cell for page in PAGES for cell in page.column("reason", "reason code")]
    assert {code for cell in cells for code in SPAN.findall(cell)} == reason_codes()


@every_page
def test_no_other_reason_code_is_named(page: Page):
    families = "|".join({code.split("_")[0] for code in reason_codes()})
    named = {span for span in page.code if re.fullmatch(rf"({families})(_[a-z0-9]+)+", span)}
    assert named <= reason_codes() | COLUMNS  # of tables, which look alike


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_command_is_valid(command, monkeypatch):
    if command.module.startswith("benchmarks."):
        main_module(command.module)
        return
    try:
        check_command(command, monkeypatch)
    except SystemExit as end:
        assert end.code == 0, command  # --help


@every_page
def test_targets_of_make_exist(page: Page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {found for line in page.shell for found in re.findall(r"\bmake ([a-z][a-z-]+)", line)}
    assert named <= targets


@every_page
def test_paths_exist(page: Page):
    outputs = [out for row in STAGES.values() for out in (*row.outs, *row.deps)] + [str(HOME)]
    for span in page.code:
        path = re.sub(r"<[^>]+>", "*", span).rstrip("/")
        first, *rest = path.split("/")
        if " " in path or "(" in path or not rest:
            continue
        if first in CODE:
            assert list(ROOT.glob(path)), span
        elif first == "pretrained":
            assert list(ROOT.glob(f"{first}/{rest[0]}")), span
        elif first in OUTPUTS:
            assert any(covered(path, (o,)) or covered(o, (path,)) for o in outputs), span


@every_page
def test_files_without_folders_exist(page: Page):
    """Modules anywhere, and files of the root."""
    modules = {
        path.name for folder in ("components", "flows") for path in (ROOT / folder).rglob("*.py")
    }
    for span in page.code:
        if re.fullmatch(r"\w+\.py", span):
            assert span in modules, span
        elif re.fullmatch(r"[\w-]+\.(yaml|toml|lock)", span):
            assert (ROOT / span).exists(), span


@every_page
def test_dotted_names_exist(page: Page):
    named = {span for span in page.code if re.fullmatch(r"(components|flows)(\.\w+)+", span)}
    assert [name for name in sorted(named) if not has_name(name)] == []


def test_page_of_settings_is_current():
    """Made by `python -m benchmarks.reference docs/params.md`."""
    assert (ROOT / "docs/params.md").read_text(encoding="utf-8") == page_of_settings()
