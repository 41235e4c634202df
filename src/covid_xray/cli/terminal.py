"""What all commands share on the terminal: tables on stdout; progress bars, failures and messages on stderr.

Nothing here imports typer or rich before something is printed, so that `predict` need not wait for them.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from covid_xray.errors import InputRefused, PartlyDone

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from covid_xray.inference.finding import Failure


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


def readable(name: str) -> str:
    """A file name as it can be shown: control characters and bytes that are no UTF-8 as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def print_failures(failures: "list[Failure]") -> None:
    """Name each failed image with its reason on stderr."""
    for failure in failures:
        text = f"{readable(failure.image)}: {failure.message} ({failure.code})"
        err.print(text, highlight=False, markup=False, soft_wrap=True)


def finish(failures: "list[Failure]", total: int) -> None:
    """End a command over many images: name the failures and choose the exit code (0, 3 none answered, 4 some)."""
    if not failures:
        return
    print_failures(failures)
    if len(failures) == total:
        raise InputRefused(f"expected at least one image that can be answered. Received: {total} that cannot")
    raise PartlyDone(f"{len(failures)} of {total} images got no answer; each is named above")
