"""Score a source into a results folder with exactly one row per input.

    results/ plan.parquet plan.json answers/part-000000.parquet ... seconds/ quarantine/ heatmaps/ drift.json run.json

The driver is the only writer. A partition is done when its file in `answers` exists, which is written last and renamed
in one step; `run.json` is written when all partitions are done.
"""

import dataclasses
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from covid_xray import __version__, partial
from covid_xray.cluster.extras import require_module
from covid_xray.cluster.parquet_rows import PartitionSummary, combine_checksums, read_summary
from covid_xray.cluster.partition_scorer import ScoredPartition, ScoringSetup
from covid_xray.cluster.plan import Partition, Plan, make_plan, read_partitions, read_plan, require_same_options
from covid_xray.cluster.source_listing import list_source
from covid_xray.cluster.storage_backends import redact_address
from covid_xray.errors import CovidXrayError, InputRefused, UsageError
from covid_xray.files import folder_lock, fsync_folder, replacing, write_json
from covid_xray.inference.drift.reference import DRIFT_FILE, Reference
from covid_xray.inference.finding import ModelIdentity
from covid_xray.inference.networks.ensemble import identity_of
from covid_xray.inference.predictor import load_bundles, open_site

KINDS = ("heatmaps", "quarantine", "seconds", "drift", "answers")  # in the order of writing
PACKAGES = ("numpy", "onnxruntime", "pillow", "pyarrow", "pydicom")  # whose versions `run.json` names
Engine = Callable[[Iterator[Partition], ScoringSetup], Iterator[ScoredPartition | CovidXrayError]]
Watch = Callable[["RunState"], None]


@dataclass(frozen=True)
class ScoringRequest:
    """The options of a scoring run."""

    source: str  # folder, table, tar file or address
    out: Path  # the results folder
    images: str | None = None  # folder of the images of a table
    bundle: Path | Sequence[Path] | None = None  # None for the one that ships; several answer together
    precision: str = "float32"  # or int8 where the bundle has it
    heatmap: bool = False  # also draw heat maps
    resume: bool = False  # continue the run in `out`
    site: Path | None = None  # site file of the hospital, or its folder
    tta: int | None = None  # copies of every input; None for those of the bundle


@dataclass
class RunState:
    """The progress of a run."""

    plan: Plan
    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    partitions: int = 0
    rows_before: int = 0
    work_done: int = 0
    work_before: int = 0
    seconds: float = 0.0

    @property
    def work(self) -> int:
        """Return the total work of the plan, in bytes where it has shards, else in inputs."""
        return self.plan.size if self.plan.shards else self.plan.inputs

    @property
    def rate(self) -> float:
        """Return inputs per second since the run began or was resumed."""
        return (self.rows - self.rows_before) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Estimate the remaining seconds; `None` before the first partition is done."""
        now = self.work_done - self.work_before
        return self.seconds * (self.work - self.work_done) / now if now > 0 else None

    def weigh(self, entries: int, size: int) -> int:
        """Return the work of a partition in the unit of `work`."""
        return size if self.plan.shards else entries

    def count(self, summary: PartitionSummary) -> None:
        """Count a finished partition."""
        self.rows += summary.rows
        self.partitions += 1
        self.failed.update(summary.failed)


def score(request: ScoringRequest, *, engine: Engine, name: str, watch: Watch = lambda state: None) -> RunState:
    """Score every input of the source; return the counts when all rows are written.

    Args:
        request: options.
        engine: such as `local_engine.score_partitions`; may yield partitions in any order.
        name: of the engine, for `run.json`.
        watch: called after each partition.

    Raises:
        InputRefused: `no-images`, `source-lost`, or a folder that cannot be resumed (`other-model`, `not-results`,
            `altered`).
        UsageError: `out` holds results and `resume` is off, or results of other options.
        Busy: another process writes to `out`.
    """
    bundles = load_bundles(request.bundle, int8=request.precision == "int8")
    identity, site = identity_of(bundles), open_site(bundles, request.site)
    out = request.out
    _require_results_folder(out)
    with folder_lock(out):
        state = RunState(_plan(request, identity, site.sha256 if site else None))
        done = _read_committed(out, state)
        if not (out / "run.json").exists():
            setup = ScoringSetup(bundles, state.plan.place, heatmap=request.heatmap, site=site, tta=request.tta)
            left = read_partitions(out, state.plan, without=frozenset(done))
            _run(engine(left, setup), out, state, done, watch)
            about = {"model": identity.as_dict(), "site": site.check().as_dict() if site else None}
            _finish(out, state, done, about={"engine": name, **about})
    return state


def _plan(request: ScoringRequest, identity: ModelIdentity, site: str | None) -> Plan:
    """Return the plan of the folder, made now or before; delete partial files of killed processes."""
    out = request.out
    known = read_plan(out)
    options: dict[str, Any] = {
        "source": _without_secrets(request.source),
        "images": _without_secrets(request.images) if request.images else None,
        "model_sha256": identity.sha256,
        "precision": request.precision,
        "heatmap": request.heatmap,
        "site_sha256": site,
        "tta": request.tta,
    }
    for folder in (out, *(out / kind for kind in KINDS)):
        partial.clear(folder)
    if known is None or not any((out / "answers").glob("part-*.parquet")):  # a plan alone is no loss
        return make_plan(out, list_source(request.source, images=request.images), **options)
    require_same_options(known, out=out, **options)
    if not request.resume:
        raise UsageError(f"{out} holds results. Add --resume to continue them, or name another folder.")
    return known


def _without_secrets(source: str) -> str:
    return redact_address(source) if "://" in source else source


def _require_results_folder(out: Path) -> None:
    """Raise `UsageError` for a folder that holds other files."""
    ours = {"plan.json", "plan.parquet", "run.json", DRIFT_FILE, ".lock", *KINDS}
    names = {path.name for path in out.iterdir() if not path.name.startswith(".partial-")} if out.is_dir() else set()
    if names - ours:
        raise UsageError(f"{out} holds other files. Name a new folder, or one that this command made.")


def _read_committed(out: Path, state: RunState) -> dict[int, PartitionSummary]:
    """Read the summaries of finished partitions into the state.

    Raises `InputRefused` for a file that is incomplete or of another place (`altered`) or network (`other-model`).
    """
    plan, done = state.plan, dict[int, PartitionSummary]()
    for path in sorted((out / "answers").glob("part-*.parquet")):
        known = _read_summary(path)
        if known is None or path != part_path(out, "answers", known.partition) or known.partition >= plan.partitions:
            raise InputRefused(f"{path} was altered. Delete it and run again with --resume.", code="altered")
        if known.model_sha256 != plan.model_sha256:
            raise InputRefused(f"{path} holds answers of another network. Name another folder.", code="other-model")
        done[known.partition] = known
        state.count(known)
    for part in read_partitions(out, plan) if done else ():
        if part.number in done:
            state.work_done += state.weigh(len(part.entries), sum(entry.size for entry in part.entries))
    state.rows_before, state.work_before = state.rows, state.work_done
    return done


def _read_summary(path: Path) -> PartitionSummary | None:
    try:
        with require_module("pyarrow.parquet").ParquetFile(path) as file:
            summary = read_summary(file.schema_arrow.metadata)
            return summary if file.metadata.num_rows == summary.rows else None
    except (OSError, ValueError):  # pyarrow's own errors are of these
        return None


def _run(
    scored: Iterator[ScoredPartition | CovidXrayError],
    out: Path,
    state: RunState,
    done: dict[int, PartitionSummary],
    watch: Watch,
) -> None:
    """Commit every partition as it comes."""
    started = time.perf_counter()
    for part in scored:
        if isinstance(part, CovidXrayError):
            raise part
        if part.number in done:  # an engine may score a partition twice
            continue
        commit(out, part)
        summary = _read_summary(part_path(out, "answers", part.number))
        assert summary is not None
        done[part.number] = summary
        state.count(summary)
        state.work_done += state.weigh(part.entries, part.size)
        state.seconds = time.perf_counter() - started
        watch(state)


def commit(out: Path, part: ScoredPartition) -> None:
    """Write the files of one partition, its answers last."""
    files = [(out / "heatmaps" / name, data) for name, data in sorted(part.pictures.items())]
    files += [(part_path(out, kind, part.number), part.files[kind]) for kind in KINDS if kind in part.files]
    for path, data in files:
        with replacing(path) as temporary:
            temporary.write_bytes(data)


def part_path(out: Path, kind: str, number: int) -> Path:
    """Return the path of a partition's file."""
    return out / kind / f"part-{number:06d}.{'json' if kind == 'drift' else 'parquet'}"


def _finish(out: Path, state: RunState, done: dict[int, PartitionSummary], *, about: dict[str, Any]) -> None:
    """Check that every row exists, then write `run.json`. Raises `CovidXrayError` when one is missing."""
    plan = state.plan
    if sorted(done) != list(range(plan.partitions)) or (not plan.shards and state.rows != plan.inputs):
        raise CovidXrayError(
            f"Incomplete: {len(done)} of {plan.partitions} partitions and {state.rows} of {plan.inputs} inputs done. "
            "Run the same command with --resume."
        )
    fsync_folder(out / "answers")
    _merge_drift(out)
    write_json(
        out / "run.json",
        {
            "covid-xray": __version__,
            **about,
            **{
                key: value
                for key, value in dataclasses.asdict(plan).items()
                if key not in ("place", "model_sha256", "site_sha256")
            },
            "inputs": state.rows,
            "answered": state.rows - state.failed.total(),
            "failed": dict(sorted(state.failed.items())),
            "answered_now": state.rows - state.rows_before,
            "checksum": combine_checksums(summary.checksum for summary in done.values()),
            "seconds": round(state.seconds, 3),
            "per_second": round(state.rate, 2),
            "packages": {name: metadata.version(name) for name in PACKAGES},
        },
    )


def _merge_drift(out: Path) -> None:
    """Draw the sample for drift monitoring from those of the partitions, which are deleted."""
    parts = sorted((out / "drift").glob("part-*.json"))
    if parts:  # none are left when a run died between this and `run.json`
        Reference.merge([Reference.read(path) for path in parts]).write(out / DRIFT_FILE)
    shutil.rmtree(out / "drift", ignore_errors=True)
