"""A source in, a results folder out with exactly one row for each input: the scoring program.

    results/ plan.parquet plan.json answers/part-000000.parquet ... seconds/ quarantine/ heatmaps/ run.json

The driver is the only writer. A partition is there when its file in `answers` is, written last and under its final name
in one step; `run.json` is written when all are there. So nothing is half visible and nothing is there twice.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from covid_xray import __version__, partial
from covid_xray.bundle.bundle import load_bundle
from covid_xray.cluster.extras import need
from covid_xray.cluster.parquet_rows import Facts, add, read_facts
from covid_xray.cluster.partition_scorer import Done, Work
from covid_xray.cluster.plan import Part, Plan, make_plan, parts, read_plan, same_work
from covid_xray.cluster.source_listing import list_source
from covid_xray.cluster.storage_backends import shown
from covid_xray.errors import CovidXrayError, InputRefused, UsageError
from covid_xray.files import folder_lock, fsync_folder, replacing, write_json
from covid_xray.inference.finding import ModelIdentity

KINDS = ("heatmaps", "quarantine", "seconds", "answers")  # in the order in which they are written
Engine = Callable[[Iterator[Part], Work], Iterator[Done | CovidXrayError]]
Watch = Callable[["State"], None]


@dataclass(frozen=True)
class Job:
    """What was asked for.

    Args:
        source: folder, table, tar file or address.
        out: the results folder.
        images: of a table: the folder of its images.
        bundle: `None` for the one that ships with the package.
        precision: float32, or int8 where the bundle has it.
        heatmap: also draw heat maps.
        resume: go on with what is in `out`.
    """

    source: str
    out: Path
    images: str | None = None
    bundle: Path | None = None
    precision: str = "float32"
    heatmap: bool = False
    resume: bool = False


@dataclass
class State:
    """How far a run is: what progress and `run.json` are made of."""

    plan: Plan
    began: float
    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    partitions: int = 0
    rows_before: int = 0
    partitions_before: int = 0
    work_done: int = 0
    work_before: int = 0
    seconds: float = 0.0

    @property
    def work(self) -> int:
        """All the work of the plan, in bytes or inputs."""
        return self.plan.size if self.plan.shards else self.plan.inputs

    @property
    def rate(self) -> float:
        """Inputs a second since the run, or its resumption, began."""
        return (self.rows - self.rows_before) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest may take at the pace of this run; `None` before anything is known."""
        now = self.work_done - self.work_before
        return self.seconds * (self.work - self.work_done) / now if now > 0 else None


def score(job: Job, *, engine: Engine, name: str, watch: Watch = lambda state: None) -> State:
    """Answer every input of the job's source; returns the counts when all rows are there.

    Args:
        job: what was asked for.
        engine: partitions to finished partitions, in any order, such as `local_engine.answered`.
        name: of the engine, for `run.json`.
        watch: called after each partition.

    Raises:
        InputRefused: nothing to answer (`no-images`), a source that went away (`source-lost`), a folder of another
            network (`other-model`) or of something else (`not-results`, `altered`).
        UsageError: `out` holds results and `resume` was not asked for, or results of other options.
        Busy: another process writes to `out`.
    """
    bundle = load_bundle(job.bundle, int8=job.precision == "int8")
    identity = ModelIdentity(bundle.name, bundle.version, bundle.sha256)
    _refuse_others(job.out)
    with folder_lock(job.out):
        plan = _plan(job, identity)
        began = time.time()
        state = State(plan, began)
        facts = _committed(job.out, plan, state)
        if not (job.out / "run.json").exists():
            work = Work(bundle, plan.place, heatmap=job.heatmap)
            left = parts(job.out, plan, without=frozenset(facts))
            _run(engine(left, work), job.out, state, facts, watch)
            _finish(job.out, state, facts, about={"engine": name, "model": dataclasses.asdict(identity)})
    return state


def _plan(job: Job, identity: ModelIdentity) -> Plan:
    """The plan of the folder, made now or before. What killed processes left half written is cleared."""
    known = read_plan(job.out)
    about: dict[str, Any] = {
        "source": _named(job.source),
        "images": _named(job.images) if job.images else None,
        "model_sha256": identity.sha256,
        "precision": job.precision,
        "heatmap": job.heatmap,
    }
    for folder in (job.out, *(job.out / kind for kind in KINDS)):
        partial.clear(folder)
    if known is None or not any((job.out / "answers").glob("part-*.parquet")):  # a plan alone is no loss
        return make_plan(job.out, list_source(job.source, images=job.images), **about)
    same_work(known, out=job.out, **about)
    if not job.resume:
        raise UsageError(f"expected a new folder. Received: {job.out} holds results; add --resume or name another")
    return known


def _named(source: str) -> str:
    """A source as it is written down: keys in an address stay out of it."""
    return shown(source) if "://" in source else source


def _refuse_others(out: Path) -> None:
    """A folder with other things in it is not ours to write to."""
    ours = {"plan.json", "plan.parquet", "run.json", ".lock", *KINDS}
    names = {path.name for path in out.iterdir() if not path.name.startswith(".partial-")} if out.is_dir() else set()
    if names - ours:
        raise UsageError(f"expected a new folder, or one of this command. Received: {out}, which holds other files")


def _committed(out: Path, plan: Plan, state: State) -> dict[int, Facts]:
    """The partitions that are there. Raises `InputRefused` (`altered`) for a file that is not whole or not its own."""
    facts: dict[int, Facts] = {}
    for path in sorted((out / "answers").glob("part-*.parquet")):
        known = _facts_of(path)
        if known is None or path != part_path(out, "answers", known.partition) or known.partition >= plan.partitions:
            raise InputRefused(
                f"expected {path} as it was written. Received: an altered file; remove it and go on with --resume",
                code="altered",
            )
        if known.model_sha256 != plan.model_sha256:
            raise InputRefused(f"expected {path} to hold answers of this network. Received: others", code="other-model")
        facts[known.partition] = known
        _count(state, known)
    if facts:
        there = (part for part in parts(out, plan) if part.number in facts)
        state.work_done = sum(_weight(plan, len(p.entries), sum(e.size for e in p.entries)) for p in there)
    state.work_before = state.work_done
    state.rows_before, state.partitions_before = state.rows, state.partitions
    return facts


def _facts_of(path: Path) -> Facts | None:
    parquet = need("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            facts = read_facts(file.schema_arrow.metadata)
            return facts if file.metadata.num_rows == facts.rows else None
    except (OSError, ValueError):  # pyarrow's own errors are of these
        return None


def _weight(plan: Plan, entries: int, size: int) -> int:
    """Work in the unit of `State.work`: bytes where the source has shards, whose inputs nobody counted; else inputs."""
    return size if plan.shards else entries


def _run(
    finished: Iterator[Done | CovidXrayError], out: Path, state: State, facts: dict[int, Facts], watch: Watch
) -> None:
    """Commit every partition as it comes."""
    state.seconds = 0.0
    started = time.perf_counter()
    for done in finished:
        if isinstance(done, CovidXrayError):
            raise done
        if done.number in facts:  # an engine may do work twice; it counts once
            continue
        commit(out, done)
        known = _facts_of(part_path(out, "answers", done.number))
        assert known is not None
        facts[done.number] = known
        _count(state, known)
        state.work_done += _weight(state.plan, done.entries, done.size)
        state.seconds = time.perf_counter() - started
        watch(state)


def commit(out: Path, done: Done) -> None:
    """Write the files of one partition, its answers last."""
    for name, data in sorted(done.pictures.items()):
        _write(out / "heatmaps" / name, data)
    for kind in KINDS:
        if kind in done.files:
            _write(part_path(out, kind, done.number), done.files[kind])


def part_path(out: Path, kind: str, number: int) -> Path:
    """Where a file of a partition is."""
    return out / kind / f"part-{number:06d}.parquet"


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _count(state: State, facts: Facts) -> None:
    state.rows += facts.rows
    state.partitions += 1
    state.failed.update(facts.failed)


def _finish(out: Path, state: State, facts: dict[int, Facts], *, about: dict[str, Any]) -> None:
    """Hold the rows against the plan, then write `run.json`. Raises `CovidXrayError` when one is missing."""
    plan = state.plan
    if sorted(facts) != list(range(plan.partitions)) or (not plan.shards and state.rows != plan.inputs):
        raise CovidXrayError(
            f"expected {plan.partitions} partitions of {plan.inputs} inputs. "
            f"Received: {len(facts)} of {state.rows}; the same command with --resume goes on"
        )
    fsync_folder(out / "answers")
    write_json(
        out / "run.json",
        {
            "covid-xray": __version__,
            **about,
            **{key: value for key, value in dataclasses.asdict(plan).items() if key not in ("place", "model_sha256")},
            "inputs": state.rows,
            "answered": state.rows - state.failed.total(),
            "failed": dict(sorted(state.failed.items())),
            "answered_now": state.rows - state.rows_before,
            "checksum": add(known.checksum for known in facts.values()),
            "seconds": round(state.seconds, 3),
            "per_second": round(state.rate, 2),
            "packages": _versions(),
        },
    )


def _versions() -> dict[str, str]:
    from importlib import metadata

    names = ("numpy", "onnxruntime", "pillow", "pyarrow", "pydicom")
    return {name: metadata.version(name) for name in names}
