"""What all commands share on the terminal: progress bars on stderr, tables on stdout, common options."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Data = Annotated[Path, typer.Option("--data", help="Folder of class folders, or a CSV with image and label.")]
Images = Annotated[Path | None, typer.Option("--images", help="Folder of the images that a CSV names.")]
BundleFolder = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of the bundle; default: the one shipped with the package.")
]

out = Console()
err = Console(stderr=True)


@contextlib.contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; yields a function of (done, total)."""
    with _progress() as progress:
        task = progress.add_task(label, total=None, note="")
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def stages() -> Iterator[Callable[[str, int, int, str], None]]:
    """A progress bar for work in stages; yields a function of (stage, done, total, note).

    A finished stage leaves one line with its note, so that a log file of the run reads well too.
    """
    with _progress() as progress:
        current: list[tuple[str, TaskID]] = []

        def update(stage: str, done: int, total: int, note: str) -> None:
            if not current or current[-1][0] != stage:
                current.append((stage, progress.add_task(stage, total=total, note="")))
            task = current[-1][1]
            progress.update(task, completed=done, total=total, note=note)
            if done >= total:
                progress.remove_task(task)
                progress.console.print(f"{stage}: {note or f'{total:,} done'}", highlight=False)
                current.clear()

        yield update


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=err,
        transient=True,
    )
