"""Random DVC projects of cheap stages, random edits, and two ways to bring them up to date.

All randomness comes from a seed, so that two copies of a project get the same edits.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import yaml
from dvc.repo import Repo

from components.common.errors import InputError
from flows.dvc.stages import StageFailed, Stages

# The outputs of a stage depend on its name, a parameter and the content of what it reads.
STEP = """\
set -e
name=$1 rate=$2 inputs=$3 outputs=$4
here=$(dirname "$0")
if [ -e "$here/fail-$name" ]; then exit 3; fi
sum=$(for input in $inputs; do find "$input" -type f | LC_ALL=C sort | xargs cat; done | cksum)
for output in $outputs; do
  case $output in
    *.json) echo "{\\"$name\\": $rate, \\"sum\\": ${sum%% *}}" > "$output" ;;
    *.csv) printf 'x,y\\n1,%s\\n' "${sum%% *}" > "$output" ;;
    *.dir) mkdir -p "$output"; echo "$sum" > "$output/a"; echo "$name $rate" > "$output/b" ;;
    *) echo "$name $rate $sum" > "$output" ;;
  esac
done
"""
KINDS = ["file", "file", "dir", "persist", "uncached", "metric", "cached metric", "plot"]
SKIPPED = {".git", "tmp"}  # .dvc/tmp holds locks and work in progress


class Graph:
    """A project that may be copied.

    Attributes:
        path: of the project.
        seed: that it was generated from.
        rng: decides the edits.
    """

    def __init__(self, path: Path, seed: int):
        self.path = path
        self.seed = seed
        self.rng = random.Random(seed)

    @classmethod
    def generate(cls, path: Path, seed: int, stages: int = 8) -> "Graph":
        """Create a project with about so many stages."""
        path.mkdir()
        graph = cls(path, seed)
        (path / "step.sh").write_text(STEP)
        (path / "plain.txt").write_text("plain\n")
        (path / "added.dir").mkdir()
        (path / "added.dir" / "one").write_text("one\n")
        (path / "added.txt").write_text("added\n")
        (path / "sub").mkdir()
        (path / "elsewhere").mkdir()
        (path / "elsewhere" / "kept").write_text("a folder that Git keeps\n")
        root, sub, params = graph._stages(stages)
        graph._write("params.yaml", params)
        graph._write("sub/params.yaml", {"deep": {"rate": 7}})
        graph._write("dvc.yaml", {"stages": root})
        graph._write("sub/dvc.yaml", {"stages": sub})
        with contextlib.chdir(path):
            subprocess.run(["git", "init", "-q"], check=True)
            with Repo.init() as repo:
                repo.add(["added.txt", "added.dir"])
        return graph

    def copy(self, path: Path) -> "Graph":
        """Return a copy that will get the same edits."""
        shutil.copytree(self.path, path, symlinks=True)
        made = Graph(path, self.seed)
        made.rng.setstate(self.rng.getstate())
        return made

    def _stages(self, count: int) -> tuple[dict, dict, dict]:
        """Return the stages of dvc.yaml, those of sub/dvc.yaml, and the parameters."""
        rng = self.rng
        made = ["plain.txt", "added.txt", "added.dir"]  # relative to the root
        root, sub, params = {}, {}, {}
        for number in range(count):
            name = f"s{number}"
            deps = rng.sample(made, rng.randint(1, min(3, len(made))))
            outs = [(f"{name}_{k}", rng.choice(KINDS)) for k in range(rng.randint(1, 3))]
            form = rng.choice(["plain"] * 4 + ["foreach", "wdir", "sub"])
            params[name] = {"rate": rng.choice([0.5, 1, 1e-5, 20])}
            if form == "foreach":
                root[name] = {
                    "foreach": ["p", "q"],
                    "do": self._stage(name + "-${item}", "${" + name + ".rate}", deps,
                                      [("${item}_" + stem, kind) for stem, kind in outs]),
                }  # fmt: skip
                made += [self._name(f"{i}_{stem}", kind) for stem, kind in outs for i in "pq"]
            elif form == "plain":
                root[name] = self._stage(name, "${" + name + ".rate}", deps, outs)
                if rng.random() < 0.5:
                    root[name]["params"] = [f"{name}.rate"]
                made += [self._name(*out) for out in outs]
            else:
                folder = "elsewhere" if form == "wdir" else "sub"
                up = ["../" + dep for dep in deps]
                stage = self._stage(name, "${deep.rate}" if form == "sub" else "3", up, outs)
                stage["cmd"] = stage["cmd"].replace("step.sh", "../step.sh")
                if form == "wdir":
                    stage["wdir"] = folder
                    root[name] = stage
                else:
                    sub[name] = stage
                made += [f"{folder}/{self._name(*out)}" for out in outs]
        self._special(root, made)
        return self._shuffled(root), self._shuffled(sub), params

    def _special(self, root: dict, made: list[str]) -> None:
        """Add some of: a frozen stage whose output exists, one that always runs, one without deps
        and outs, and one without deps."""
        rng = self.rng
        if rng.random() < 0.7:
            (self.path / "ice").write_text("made by hand\n")
            root["frozen"] = {**self._stage("frozen", "1", ["plain.txt"], [("ice", "file")]),
                              "frozen": True}  # fmt: skip
            root["melt"] = self._stage("melt", "2", ["ice"], [("water", "file")])
        if rng.random() < 0.4:
            always = self._stage("always", "1", [rng.choice(made)], [("al", "file")])
            root["always"] = {**always, "always_changed": True}
        if rng.random() < 0.4:
            root["callback"] = {"cmd": "true"}
        if rng.random() < 0.5:
            root["nothing"] = self._stage("nothing", "1", [], [("no", "dir"), ("no2", "metric")])

    def _stage(self, name: str, rate: str, deps: list[str], outs: list[tuple[str, str]]) -> dict:
        stage = {"deps": list(deps), "outs": [], "metrics": [], "plots": []}
        for stem, kind in outs:
            file = self._name(stem, kind)
            if kind == "persist":
                stage["outs"].append({file: {"persist": True}})
            elif kind == "uncached":
                stage["outs"].append({file: {"cache": False}})
            elif kind == "metric":
                stage["metrics"].append({file: {"cache": False}})
            elif kind == "cached metric":
                stage["metrics"].append(file)
            elif kind == "plot":
                stage["plots"].append({file: {"cache": self.rng.random() < 0.5}})
            else:
                stage["outs"].append(file)
        files = " ".join(self._name(*out) for out in outs)
        command = f"sh step.sh {name} {rate} '{' '.join(deps)}' '{files}'"
        return {"cmd": command, **{key: value for key, value in stage.items() if value}}

    @staticmethod
    def _name(stem: str, kind: str) -> str:
        endings = {"dir": ".dir", "persist": ".dir", "metric": ".json", "cached metric": ".json"}
        return stem + endings.get(kind, ".csv" if kind == "plot" else "")

    def _shuffled(self, stages: dict) -> dict:
        names = list(stages)
        self.rng.shuffle(names)
        return {name: stages[name] for name in names}

    def _read(self, name: str) -> dict:
        return yaml.safe_load((self.path / name).read_text())

    def _write(self, name: str, content: dict) -> None:
        (self.path / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def edit(self) -> str:
        """Change something at random; return what."""
        change = self.rng.choice(
            [self._edit_param, self._edit_data, self._edit_command, self._add_stage,
             self._forget_entry, self._freeze, self.remove_outputs]
        )  # fmt: skip
        change()
        return change.__name__

    def _edit_param(self) -> None:
        params = self._read("params.yaml")
        params[self.rng.choice(sorted(params))]["rate"] = self.rng.choice([0.5, 1, 2, 3])
        self._write("params.yaml", params)

    def _edit_data(self) -> None:
        name = self.rng.choice(["plain.txt", "added.txt", "added.dir/one", "added.dir/two"])
        (self.path / name).write_text(f"edit {self.rng.randint(0, 3)}\n")

    def _edit_command(self) -> None:
        content = self._read("dvc.yaml")
        plain = [name for name, stage in content["stages"].items() if "foreach" not in stage]
        chosen = content["stages"][self.rng.choice(plain)]
        chosen["cmd"] = "set -u; " + chosen["cmd"]
        self._write("dvc.yaml", content)

    def _freeze(self) -> None:
        """Freeze a stage and edit a parameter, perhaps of one that it reads from."""
        content = self._read("dvc.yaml")
        plain = [name for name, stage in content["stages"].items() if "outs" in stage]
        content["stages"][self.rng.choice(plain)]["frozen"] = True
        self._write("dvc.yaml", content)
        self._edit_param()

    def _add_stage(self) -> None:
        content = self._read("dvc.yaml")
        name = f"n{len(content['stages'])}"
        stages = {name: self._stage(name, "1", ["added.txt"], [(name, "file")])}
        self._write("dvc.yaml", {"stages": {**stages, **content["stages"]}})

    def _forget_entry(self) -> None:
        lock = self._read("dvc.lock")
        del lock["stages"][self.rng.choice(list(lock["stages"]))]
        self._write("dvc.lock", lock)

    def break_stage(self, name: str) -> None:
        """Let the command of a stage, or of all in its group, fail."""
        for item in ("", "-p", "-q"):
            (self.path / f"fail-{name}{item}").touch()

    def mend_stage(self, name: str) -> None:
        """Undo `break_stage`."""
        for mark in self.path.glob(f"fail-{name}*"):
            mark.unlink()

    def remove_outputs(self, fraction: float = 0.5) -> None:
        """Remove about this fraction of the outputs of stages."""
        with contextlib.chdir(self.path), Repo() as repo:
            outs = [
                out.fs_path
                for stage in repo.index.stages
                if stage.cmd and not stage.frozen
                for out in stage.outs
            ]
        for path in map(Path, outs):
            if self.rng.random() < fraction:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def plain(self, **options) -> list[str]:
        """Run plain `dvc repro`; return the stages that it ran or restored."""
        with contextlib.chdir(self.path), Repo() as repo:
            return [stage.addressing for stage in repo.reproduce(**options)]

    def driven(self, delays: int = 0) -> dict[str, str]:
        """Run our driver, independent stages side by side; return what happened to each stage."""
        with contextlib.chdir(self.path):
            return drive(Stages(workers=4), delays)

    def content(self) -> dict[str, bytes]:
        """Return every file, caches included, except unfinished copies of a killed process."""
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file()
            and path.suffix != ".tmp"
            and not SKIPPED & set(path.relative_to(self.path).parts)
        }

    def status(self) -> dict:
        """Return what `dvc status` says."""
        with contextlib.chdir(self.path), Repo() as repo:
            return repo.status()


def drive(stages: Stages, delays: int = 0, log: Callable[[str], None] = lambda line: None):
    """Run each stage in a thread once its upstream stages are done, as the flow does.

    Args:
        stages: of the project in the working directory.
        delays: seed of the delays, by which each stage starts a little later than it could.
        log: called with the lines that commands print.

    Returns:
        Stage → what happened to it.
    """
    plan = stages.plan()
    rng = random.Random(delays)
    pauses = {planned.name: rng.random() / 20 for planned in plan}
    futures: dict[str, Future] = {}

    def bring(name: str, upstream: tuple[str, ...]) -> str:
        if any(futures[other].result() in ("failed", "not started") for other in upstream):
            return "not started"
        time.sleep(pauses[name])
        try:
            return stages.run(name, log=log, timeout=60).what
        except (StageFailed, InputError):
            return "failed"

    with ThreadPoolExecutor(max_workers=len(plan)) as pool:
        for planned in plan:
            futures[planned.name] = pool.submit(bring, planned.name, planned.upstream)
    stages.stop()
    return {name: future.result() for name, future in futures.items()}


CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watched:
    """Sees each change of a file below a folder, and each start of a command, just before it.

    Attributes:
        changes: name of the event and path relative to the folder.
        emptied: existing files that were opened to be overwritten.

    Args:
        root: the folder.
        die_at: returns whether this process is to be killed before the last of the changes.
    """

    def __init__(self, root: Path, die_at: Callable[["Watched"], bool] = lambda watched: False):
        self.root = os.path.join(root, "")
        self.die_at = die_at
        self.changes: list[tuple[str, str]] = []
        self.emptied: set[str] = set()
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple) -> None:
        if event == "subprocess.Popen":
            self.changes.append((event, ""))
        elif event in CHANGES or (event == "open" and arguments[2] & WRITING):
            # a rename counts as a change of its target
            path = arguments[1 if event in ("os.rename", "os.link") else 0]
            if not isinstance(path, str) or not os.path.abspath(path).startswith(self.root):
                return
            self.changes.append((event, os.path.relpath(path, self.root)))
        else:
            return
        emptying = event == "open" and arguments[2] & os.O_TRUNC and os.path.exists(path)
        if emptying:
            self.emptied.add(os.path.relpath(path, self.root))
        if self.die_at(self):
            if emptying:
                open(path, "wb").close()  # as if the signal came an instant later
            os.kill(os.getpid(), signal.SIGKILL)


def drive_watched(
    path: Path, seen: Connection, count: int, event: str = "", name: str = ""
) -> None:
    """Run our driver in this process, which is killed at a change of a file.

    Args:
        path: of the project.
        seen: gets the changes, if the process survives.
        count: number of the change to be killed at; 0: it survives.
        event: count only these events.
        name: count only paths that contain this.
    """
    os.environ["DOOMED"] = str(path)

    def last(watched: Watched) -> bool:
        found = [1 for kind, what in watched.changes[-1:] if event in kind and name in what]
        watched.count = getattr(watched, "count", 0) + len(found)
        return bool(found) and watched.count == count

    watched = Watched(path, last)
    with contextlib.chdir(path):
        drive(Stages(workers=4))
    seen.send((watched.changes, watched.emptied))
