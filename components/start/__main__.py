"""Write a params.yaml for your data: `python -m components.start rows.csv`.

The data is a CSV, JSON Lines or Parquet file, a data set of Hugging Face's, or a folder with one
folder per class.
"""

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from components.common import command_line
from components.common.errors import InputError
from components.common.files import write_text
from components.ingest.sources.huggingface import is_data_set
from components.ingest.sources.table import FORMATS, unknown_format
from components.stage.stage import exit_codes
from components.start.columns import read_hugging_face, read_table
from components.start.proposal import Proposal, propose_for_columns, propose_for_folders

PARAMS = Path("params.yaml")  # which make run reads
ROOT = Path("source")  # of data that lies in the project's own folder
HEADER = "# Made by components.start for {data!r}. docs/params.md lists every setting.\n"


def main(words: list[str] | None = None) -> None:
    """Propose settings for data, and write them."""
    parser = command_line.parser(__doc__)
    parser.add_argument("data", type=Path, help="file or folder")
    parser.add_argument("--params", type=Path, default=PARAMS, help="file to write")
    parser.add_argument("--force", action="store_true", help="even if it has settings of yours")
    arguments = parser.parse_args(words)
    with exit_codes():
        if not arguments.force:
            _refuse_to_overwrite(arguments.params)
        proposal = propose(arguments.data)
        text = yaml.safe_dump(
            proposal.settings, sort_keys=False, default_flow_style=None, allow_unicode=True
        )
        write_text(arguments.params, HEADER.format(data=str(arguments.data)) + text)
    for reason in proposal.reasons:
        print(f"  {reason}")
    way = "" if arguments.params.resolve() == PARAMS.resolve() else f"Copy it to {PARAMS}. "
    print(f"{arguments.params} is written. {way}Train with: make run")


def propose(data: Path) -> Proposal:
    """Return settings for a file or folder; `InputError` if it is neither known nor usable."""
    if not data.exists():
        raise InputError(f"{data} does not exist")
    if data.is_file():
        if data.suffix.lower() not in FORMATS:
            raise InputError(unknown_format(data))
        if data.resolve().parent == Path.cwd():
            data = _copy_to_source(data)
        return propose_for_columns(read_table(data, data.parent), _root(data.parent))
    if is_data_set(data):
        return propose_for_columns(read_hugging_face(data, data), _root(data))
    tables = sorted(path for path in data.iterdir() if path.suffix.lower() in FORMATS)
    if tables and not any(path.is_dir() for path in data.iterdir()):
        raise InputError(
            f"{data} holds tables: give one of them, such as {tables[0]}. Others with the same "
            "columns can be added to ingest.source.files"
        )
    return propose_for_folders(data, _root(data))


def _copy_to_source(table: Path) -> Path:
    """Return a copy of a table in the project's own folder, where stages write too."""
    if files := [c.name for c in read_table(table, table.parent).columns if c.media]:
        raise InputError(
            f"{table} names files in the project's own folder (column {files[0]!r}), where stages "
            f"write too. Move all of it to {ROOT}/, and give {ROOT / table.name}"
        )
    ROOT.mkdir(exist_ok=True)
    return Path(shutil.copy(table, ROOT / table.name))


def _root(folder: Path) -> str:
    """Return `ingest.root` for a folder: its path from the project, or an absolute one."""
    whole, here = folder.resolve(), Path.cwd()
    if here.is_relative_to(whole):
        raise InputError(f"{folder} holds the project itself. Move the data to {ROOT}/")
    return os.path.relpath(whole) if whole.is_relative_to(here) else str(whole)


def _refuse_to_overwrite(params: Path) -> None:
    """Raise `InputError` if a file has settings that Git does not know."""
    status = ["git", "status", "--porcelain", "--", str(params)]
    known = subprocess.run(status, capture_output=True, text=True)
    if params.exists() and (known.returncode or known.stdout.strip()):
        raise InputError(
            f"{params} has settings that are not committed. Commit them, name another file with "
            "--params, or give --force"
        )


if __name__ == "__main__":
    main()
