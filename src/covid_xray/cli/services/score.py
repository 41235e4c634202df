"""Define the command `score`: classify archives of any size, on this machine or on a Ray cluster."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from covid_xray.cli.console import BundleFolders, Engine, SiteFolder, Tta, err, folder_option, out, resumable
from covid_xray.cli.terminal import print_passed_over
from covid_xray.errors import InputRefused, PartlyDone, UsageError

if TYPE_CHECKING:
    from covid_xray.cluster.score import Engine as ScoringEngine
    from covid_xray.cluster.score import RunState, ScoringRequest

LINE_SECONDS = 30.0  # between two lines of progress where there is no terminal


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(score)


def score(
    source: Annotated[
        str,
        typer.Argument(help="A folder, DICOM tree, CSV or Parquet table with image, tar file, s3:// or gs:// address."),
    ],
    output: Annotated[Path, folder_option("The results folder.")],
    images: Annotated[
        str | None, typer.Option("--images", help="Folder or address that the names of a table are below.")
    ] = None,
    bundle: BundleFolders = None,
    site: SiteFolder = None,
    engine: Engine = "local",
    address: Annotated[
        str | None, typer.Option("--address", help="Of the cluster: auto, HOST:PORT or ray://HOST:PORT.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Workers of one core each; 0: one a core.")] = 0,
    precision: Annotated[
        Literal["float32", "int8"], typer.Option("--precision", help="float32, or int8 where the bundle has it.")
    ] = "float32",
    heatmap: Annotated[bool, typer.Option("--heatmap", help="Also draw heat maps into OUTPUT/heatmaps.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished results in OUTPUT.")] = False,
    tta: Tta = None,
) -> None:
    """Classify every radiograph of an archive: one row each, in partitioned Parquet; an interrupted run can resume."""
    if address and engine != "ray":
        raise UsageError("--address names a cluster, and --engine local uses none. Add --engine ray.")
    from covid_xray.cluster.score import ScoringRequest

    request = ScoringRequest(source, output, images, bundle, precision, heatmap, resume, site, tta)
    _report(_run(request, _open_engine(engine, address=address, workers=workers), engine), output)


def _open_engine(name: str, *, address: str | None, workers: int) -> "ScoringEngine":
    if name == "ray":
        from covid_xray.cluster import ray_engine, ray_session

        ray_session.check_reachable(address)  # before a source of a million files is listed
        return partial(ray_engine.score_partitions, address=address, workers=workers)
    from covid_xray.cluster import local_engine

    return partial(local_engine.score_partitions, workers=workers)


def _run(request: "ScoringRequest", engine: "ScoringEngine", name: str) -> "RunState":
    from covid_xray.cluster.score import score as run

    with resumable("every finished partition"):
        if not err.console.is_terminal:
            return run(request, engine=engine, name=name, watch=ProgressLog())
        with _bar() as watch:
            return run(request, engine=engine, name=name, watch=watch)


class ProgressLog:
    """Print progress for a log: a line every half minute."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._last = now, now()

    def __call__(self, state: "RunState") -> None:
        """Print a line if it is time for one."""
        if self._now() - self._last >= LINE_SECONDS:
            self._last = self._now()
            err.line(describe_progress(state))


@contextlib.contextmanager
def _bar() -> Iterator[Callable[["RunState"], None]]:
    """Show a progress bar on a terminal: share of the work, images so far, images a second and time left."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("score"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=err.console, transient=True) as progress:
        task = progress.add_task("score", total=None, note="")
        yield lambda state: progress.update(
            task, completed=state.work_done, total=state.work, note=describe_progress(state)
        )


def describe_progress(state: "RunState") -> str:
    """Describe in words how far a run is."""
    total = "" if state.plan.shards else f" of {state.plan.inputs:,}"
    left = state.seconds_left
    parts = [f"{state.rows:,}{total} inputs", f"{state.rate:.1f} a second"]
    parts += [f"{format_duration(left)} left"] if left is not None else []
    parts += [f"{state.failed.total():,} failed"] if state.failed else []
    return ", ".join(parts)


def format_duration(seconds: float) -> str:
    """Format seconds for reading: 40 s, 12 min, 5.3 h, 2.1 days."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (129_600, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}" if unit == "h" else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.1f} days"


def _report(state: "RunState", output: Path) -> None:
    failed = state.failed.total()
    out.line(f"{state.rows:,} rows in {output / 'answers'}, {failed:,} of them failed; research use, not for diagnosis")
    for code, count in state.failed.most_common():
        err.line(f"{count:,} failed as {code}; each is named in {output / 'quarantine'}")
    print_passed_over(state.plan.passed_over)
    if failed and failed == state.rows:
        raise InputRefused(f"None of the {failed:,} images could be classified. The reasons are listed above.")
    if failed:
        raise PartlyDone(
            f"{failed:,} of {state.rows:,} images could not be classified; each is named in {output / 'quarantine'}."
        )
