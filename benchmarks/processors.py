"""The same bytes on other processors: a shrunk pipeline here, and emulated by QEMU.

`python -m benchmarks.processors` runs the learning stages of a project, in the working directory
and in one process, because an emulated one takes minutes to import torch.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, equality
from benchmarks.project import SMALL, Project
from benchmarks.stages import python_environment, read_stages, run_commands
from components.common import command_line
from components.common.hashing import file_hash
from components.stage.settings import load_settings

EMULATOR = "qemu-x86_64"  # of Debian's package qemu-user; it has no AVX-512
PROCESSORS = {  # each with the command line that a command follows
    name: (EMULATOR, "-cpu", name) for name in ("Haswell", "Skylake-Client", "EPYC-Milan")
}
AT_ONCE = 2
TRAINED = ("models", "data/features", "data/embeddings.safetensors")


def figures(_: Path) -> Iterator[Figure]:
    """Yield a row for each processor."""
    for emulator, *_ in filter(None, PROCESSORS.values()):
        if shutil.which(emulator) is None:
            raise RuntimeError(f"{emulator} is not installed: apt install qemu-user")
    with TemporaryDirectory() as name:
        prepared = Project.fresh(Path(name) / "prepared", settings=SMALL)
        stages = read_stages(prepared.path).values()
        run_commands(takewhile(lambda stage: not stage.is_learning, stages), prepared.path)

        def trained(processor: str, emulator: Sequence[str]) -> bytes:
            project = prepared.copy(Path(name) / processor)
            command = [*emulator, sys.executable, "-m", "benchmarks.processors"]
            variables = python_environment(project.path)
            subprocess.run(command, cwd=project.path, env=variables, check=True)
            return file_hash(*map(project.path.joinpath, TRAINED)).encode()

        here = trained("here", ())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(trained, PROCESSORS, PROCESSORS.values())
        for processor, weights in zip(PROCESSORS, found, strict=True):
            figure = f"weights of a shrunk pipeline, here and on an emulated {processor}"
            yield equality(figure, here, weights)


def main(words: Sequence[str] | None = None) -> None:
    """Run the learning stages here, without the sampler of resources, which QEMU misleads."""
    command_line.parser(__doc__).parse_args(words)
    for row in read_stages(Path()).values():
        if row.is_learning:
            stage, arguments = row.stage, row.arguments
            stage.work(arguments, load_settings(arguments.params, stage.settings(arguments)))


if __name__ == "__main__":
    main()
