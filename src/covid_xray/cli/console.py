"""What all commands share on the terminal: progress bars on stderr, tables on stdout, common options."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Data = Annotated[Path, typer.Option("--data", help="Folder of class folders, or a CSV with image and label.")]
Images = Annotated[Path | None, typer.Option("--images", help="Folder of the images that a CSV names.")]
BundleFolder = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of the bundle; default: the one shipped with the package.")
]


class Terminal:
    """A rich console made when it is first printed to: rich takes a tenth of a second to import."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    @functools.cached_property
    def console(self) -> "Console":
        """The console itself."""
        from rich.console import Console

        return Console(stderr=self._stderr)

    def print(self, *objects: Any, **options: Any) -> None:
        """`rich.console.Console.print`."""
        self.console.print(*objects, **options)


out = Terminal()
err = Terminal(stderr=True)


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


def _progress() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=err.console,
        transient=True,
    )
