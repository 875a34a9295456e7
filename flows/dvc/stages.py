"""Runs DVC's stages from one process, side by side, with the result of plain `dvc repro`.

This package is the only one that uses DVC's internal calls, so DVC is pinned exactly. Commands run
outside DVC's lock; everything else (asking what changed, preparing, saving, writing `dvc.lock`)
happens under it, one stage at a time. The graph is defined in `dvc.yaml` alone.
"""

import errno
import logging
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Event, RLock
from typing import Any

from dvc.dependency.param import BadParamFileError, MissingParamsError
from dvc.dvcfile import PROJECT_FILE
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.logger import set_loggers_level
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from dvc.rwlock import rwlock
from dvc.stage import PipelineStage, Stage
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.run import _enforce_cmd_list, _make_cmd, get_executable, prepare_kwargs
from dvc.stage.serialize import to_lockfile, to_single_stage_file
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from components.common.errors import InputError, nearest
from components.stage.progress import PROGRESS_LINES
from flows.dvc.dvc_files import AtomicFiles, repair_rwlock, replacing
from flows.dvc.plan import PlannedStage, explain, in_order, lockfile, recorded
from flows.processes.command import USER_MISTAKE, Stopped, TimeLimit, run_command


class StageFailed(Exception):
    """A stage's command failed, or DVC could not record its outputs."""

    def __init__(self, message: str, may_pass: bool = False):
        super().__init__(message)
        self.may_pass = may_pass  # a service did not answer, or another DVC process used the files


@dataclass(frozen=True)
class Outcome:
    """What happened to a stage, why, how long it took, and whether a retry may succeed."""

    name: str
    what: str  # "up to date", "restored", "ran", "failed", "invalid" or "not started"
    why: str
    seconds: float = 0.0
    may_pass: bool = False


class Stages:
    """The stages of the DVC project in the working directory; `workers` of them run at a time."""

    def __init__(self, workers: int | None = None):
        with _as_user_error():
            # A `dvc push` that holds the lock must delay a finished stage, not fail it.
            self._repo = Repo(fs=AtomicFiles(), _wait_for_lock=True)
            self._cache = self._repo.cache.local_cache_dir
        repair_rwlock(self._repo)
        self._mutex = RLock()
        self._slots = BoundedSemaphore(workers or os.cpu_count() or 1)
        self.stopping = Event()
        self._plan: list[PlannedStage] = []
        self._visited: list[Stage] = []  # the stages of the plan, as they were then
        self._new: list[PipelineStage] = []  # those that dvc.lock did not have, in the plan's order
        self._open: dict[str, Stage] = {}  # those of them that it does not have yet
        self._finished: dict[str, PipelineStage] = {}  # stages whose entries wait for their turn
        self._failed: set[str] = set()
        self._readers: Counter[str] = Counter()  # file → number of our stages that read it
        self._reading: dict[str, AbstractContextManager] = {}  # file → entry in DVC's list

    def plan(self, targets: Sequence[str] = ()) -> list[PlannedStage]:
        """Return the stages that `dvc repro` visits for `targets` (default: all), in its order.

        Adds their outputs to .gitignore in this order, which does not depend on what ends first.
        """
        with _as_user_error(), self._locked():
            index = self._repo.index
            graph = get_active_graph(index.graph)
            _check_targets(targets, [s.addressing for s in index.stages if _is_of_project(s)])
            stages = plan_repro(graph, collect_stages(self._repo, targets or [PROJECT_FILE]))
            self._open = {stage.addressing: stage for stage in stages if not recorded(stage)}
            self._new = [s for s in self._open.values() if isinstance(s, PipelineStage)]
            for stage in stages:
                for out in stage.outs:  # the folder of the .gitignore may not exist
                    Path(out.fs_path).parent.mkdir(parents=True, exist_ok=True)
                stage.ignore_outs()
            self._visited, self._plan = stages, in_order(stages, index.graph)
            return self._plan

    def reasons(self) -> dict[str, str]:
        """Return why each stage of the plan must run, in words; empty where nothing changed."""
        with _as_user_error(), self._locked():
            return {stage.addressing: explain(stage) for stage in self._visited}

    def run(
        self,
        name: str,
        force: bool = False,
        log: Callable[[str], None] = print,
        timeout: float | None = None,
    ) -> Outcome:
        """Bring one stage up to date; its upstream stages must already be.

        `force` runs the command even if nothing changed; it is killed after `timeout` seconds.
        Raises InputError if it ended with exit code 2 or a dependency or parameter is missing, and
        StageFailed if it failed in another way or DVC could not record its outputs.
        """
        with self._slots, self._as_stage_error(name):
            self._check_stopping(name)
            started = time.monotonic()
            self._failed.discard(name)
            try:
                what, why = self._run(name, force, log, timeout)
            except BaseException:
                self._failed.add(name)
                self._dump_finished()
                raise
            if what == "up to date" and self._open.pop(name, None):  # by another process
                self._dump_finished()
        return Outcome(name, what, why, time.monotonic() - started)

    def stop(self) -> None:
        """Kill running commands, start no other stage, and record what finished."""
        self.stopping.set()
        with self._as_stage_error("dvc.lock"):
            self._dump_finished()

    def _run(
        self, name: str, force: bool, log: Callable[[str], None], timeout: float | None
    ) -> tuple[str, str]:
        with self._locked():
            (stage,) = self._repo.stage.collect(name)
            why = "forced" if force else explain(stage)
            if not why:
                return "up to date", "nothing changed"
            if not stage.cmd or stage.frozen:  # `dvc add`ed data: there is no command
                if not stage.reproduce(force=force):
                    return "up to date", "nothing changed"
                self._dump(stage)
                return "ran", why
        log(f"{name}: {why}")
        with self._reserved(stage):
            with self._locked():
                if self._prepare(stage, force):
                    self._record(stage)
                    return "restored", why
            self._command(stage, log, timeout)
            with self._locked():
                self._record(stage)
        return "ran", why

    def _check_stopping(self, name: str) -> None:
        if self.stopping.is_set():
            raise StageFailed(f"{name}: not started, the run is stopping")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        quiet = set_loggers_level(logging.WARNING)
        with self._mutex, quiet, lock_repo(self._repo), self._repo.scm_context(quiet=True):
            yield

    @contextmanager
    def _reserved(self, stage: Stage) -> Iterator[None]:
        """Keep other DVC processes away from the stage's files, as `dvc repro` does."""
        with self._mutex, ExitStack() as held:
            held.enter_context(self._listed(write=[out.fs_path for out in stage.outs]))
            for path in {dep.fs_path for dep in stage.deps}:
                held.enter_context(self._shared(path))
            reservation = held.pop_all()
        try:
            yield
        finally:
            with self._mutex:
                reservation.close()

    @contextmanager
    def _shared(self, path: str) -> Iterator[None]:
        """Reserve a file until the last of our stages that reads it has ended.

        DVC's list knows processes only: one stage would release it for all.
        """
        if not self._readers[path]:
            self._reading[path] = self._listed(read=[path])
            self._reading[path].__enter__()
        self._readers[path] += 1
        try:
            yield
        finally:
            self._readers[path] -= 1
            if not self._readers[path]:
                self._reading.pop(path).__exit__(None, None, None)

    def _listed(
        self, read: Sequence[str] = (), write: Sequence[str] = ()
    ) -> AbstractContextManager:
        return rwlock(
            self._repo.tmp_dir,
            self._repo.fs,
            " ".join(sys.argv),  # as DVC's own calls say, which must recognise it as theirs
            read=list(read),
            write=list(write),
            hardlink=self._repo.config["core"].get("hardlink_lock", False),
        )

    def _prepare(self, stage: Stage, force: bool) -> bool:
        """Prepare for the command; return whether its outputs came from the run cache instead."""
        if missing := [str(dep) for dep in stage.deps if not dep.exists]:
            raise InputError(f"{stage.addressing}: missing dependency {', '.join(missing)}")
        self._check_stopping(stage.addressing)
        stage.remove_outs(ignore_remove=False, force=False)
        if not force:
            with suppress(RunCacheNotFoundError):
                self._repo.stage_cache.restore(stage)
                return True
        if os.path.exists(self._cache) and not os.access(self._cache, os.W_OK):
            raise OSError(errno.EROFS, "cannot write into the cache", self._cache)
        stage.save_deps()
        return False

    def _command(self, stage: Stage, log: Callable[[str], None], timeout: float | None) -> None:
        settings = prepare_kwargs(stage)
        env = settings["env"]
        # `python` in a command is this interpreter, even if its environment is not activated.
        folder = os.path.dirname(sys.executable)
        env["PATH"] = f"{folder}{os.pathsep}{env.get('PATH', os.defpath)}"
        env.setdefault("PYTHONUNBUFFERED", "1")  # log lines as they are printed
        env.setdefault(PROGRESS_LINES, "1")
        env.setdefault("TQDM_MININTERVAL", "2")  # seconds between the bar's lines
        for command in _enforce_cmd_list(stage.cmd):
            log(f"> {command.rstrip()}")
            argv = _make_cmd(get_executable(), command)
            try:
                code = run_command(argv, settings["cwd"], env, log, self.stopping, timeout)
            except TimeLimit:
                raise StageFailed(f"{stage.addressing}: killed after {timeout:g} seconds") from None
            except Stopped:
                raise StageFailed(f"{stage.addressing}: killed, the run is stopping") from None
            if code == USER_MISTAKE:
                raise InputError(f"{stage.addressing}: exit code 2, see what it printed")
            if code:
                message = f"{stage.addressing}: exit code {code} from: {command}"
                raise StageFailed(message, may_pass=code == os.EX_TEMPFAIL)

    def _record(self, stage: Stage) -> None:
        """Commit the outputs and write dvc.lock.

        Dependencies are recorded as they were before the command, so that an edit made while it
        ran shows as a change at the next run.
        """
        try:
            stage.save_outs()
            if all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs):
                self._repo.stage_cache.save(stage)
            stage.commit()
            # DVC only logs that it could not copy a file.
            lost = [str(out) for out in stage.outs if out.use_cache and out.changed_cache()]
            if lost:
                what = f"cannot copy {', '.join(lost)} into the cache"
                raise OSError(errno.EIO, what, self._cache)
        except OSError:
            # Partial copies would keep a full disk full. Other projects that share a cache may be
            # copying.
            if self._cache == self._repo.cache.default_local_cache_dir:
                for path in Path(self._cache).rglob(".*.tmp"):
                    path.unlink(missing_ok=True)
            raise
        self._dump(stage)

    def _dump(self, stage: Stage) -> None:
        name = stage.addressing
        if isinstance(stage, PipelineStage):
            self._finished[name] = stage
            self._dump_finished()
            return
        self._write(Path(stage.path), dumps_yaml(to_single_stage_file(stage)))

    def _dump_finished(self) -> None:
        """Write the entries of finished stages, a new one after those before it in the plan.

        Plain `dvc repro` can only append: if this process were killed after a later entry was
        written, `dvc.lock` would keep that order. Until then the caches hold the outputs.
        """
        with self._mutex:
            if not (ready := self._writable()):
                return
            with self._locked():
                for path in {lockfile(stage) for stage in ready.values()}:
                    self._write_entries(path, [s for s in ready.values() if lockfile(s) == path])
            for name in ready:
                del self._finished[name]
                self._open.pop(name, None)

    def _writable(self) -> dict[str, PipelineStage]:
        """Return finished stages that no new entry can precede any more, by name."""
        turn = {name: stage for name, stage in self._finished.items() if name not in self._open}
        awaited = set()  # lock files in which an earlier stage is still to come
        hopeless: set[str] = set()  # stages that failed, and those that need them
        for planned in self._plan:
            if planned.name in self._failed or not hopeless.isdisjoint(planned.upstream):
                hopeless.add(planned.name)
        for name, stage in self._open.items():
            if name in self._finished and lockfile(stage) not in awaited:
                turn[name] = self._finished[name]
            elif name not in hopeless and not self.stopping.is_set():
                awaited.add(lockfile(stage))
        return turn

    def _write_entries(self, path: Path, stages: list[PipelineStage]) -> None:
        """Write entries into a `dvc.lock`, new ones at its end in the plan's order."""
        data: dict[str, Any] = {"schema": "2.0"}
        if path.exists():
            data = parse_yaml_for_update(path.read_text(encoding="utf-8"), path)
        entries = data.setdefault("stages", {})
        for stage in stages:
            entries.update(to_lockfile(stage))
        for new in self._new:
            if lockfile(new) == path and new.name in entries:
                entries[new.name] = entries.pop(new.name)
        self._write(path, dumps_yaml(data))

    def _write(self, path: Path, text: str) -> None:
        assert self._repo.tmp_dir
        with replacing(path, Path(self._repo.tmp_dir)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._repo.scm_context.track_file(os.path.relpath(path))

    @contextmanager
    def _as_stage_error(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BadParamFileError, MissingParamsError) as error:
            raise InputError(f"{name}: {error}") from error
        except DvcException as error:
            raise StageFailed(f"{name}: {error}", isinstance(error, LockError)) from error
        except OSError as error:
            where = error.filename or f"{self._repo.root_dir} or {self._cache}"
            raise StageFailed(
                f"{name}: {error.strerror}: {where}. Free space there or make it writable, then "
                "run again: finished stages are kept, and `dvc checkout` restores earlier outputs"
            ) from error
        except sqlite3.Error as error:
            where = self._repo.site_cache_dir
            raise StageFailed(f"{name}: {error}: DVC's own database in {where}") from error


@contextmanager
def _as_user_error() -> Iterator[None]:
    try:
        yield
    except DvcException as error:
        raise InputError(str(error)) from error


def _is_of_project(stage: Stage) -> bool:
    return isinstance(stage, PipelineStage) and stage.path_in_repo == PROJECT_FILE


def _check_targets(targets: Sequence[str], names: list[str]) -> None:
    """Raise InputError unless each target is the name of a stage of the project.

    DVC takes files too: whoever may start a run and may put data somewhere could name commands of
    another dvc.yaml.
    """
    known = {*names, *(name.partition("@")[0] for name in names)}  # foreach: group@item
    for target in targets:
        if target not in known:
            raise InputError(f"unknown stage {target!r}. {nearest(target, sorted(known))}")
