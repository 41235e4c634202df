"""Print tables on stdout, and progress bars, failures and messages on stderr.

Nothing here imports typer or rich before something is printed, so that `predict` need not wait for them.
"""

import contextlib
import functools
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.errors import InputRefused, PartlyDone
from covid_xray.files import is_stdout

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from covid_xray.inference.finding import Failure
    from covid_xray.inference.io.inputs import Item


class Terminal:
    """A rich console made when it is first printed to: rich takes a tenth of a second to import."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    @functools.cached_property
    def console(self) -> "Console":
        """Make the console."""
        from rich.console import Console

        return Console(stderr=self._stderr)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `rich.console.Console.print` does."""
        self.console.print(*objects, **options)

    def line(self, text: str, *, style: str | None = None) -> None:
        """Print one text as it is, in one style: without markup, emoji codes or line breaks of our own."""
        self.console.print(text, style=style, highlight=False, markup=False, emoji=False, soft_wrap=True)


out = Terminal()
err = Terminal(stderr=True)


def messages(output: Path | None) -> Terminal:
    """Return the terminal for messages: stdout, or stderr where stdout is the file that the command writes."""
    return err if output is not None and is_stdout(output) else out


@contextlib.contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr; yield a function of (done, total)."""
    with _progress() as progress:
        task = progress.add_task(label, total=None, note="")
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def stages() -> Iterator[Callable[[str, int, int, str], None]]:
    """Show a progress bar for work in stages; yield a function of (stage, done, total, note).

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
    """Make a file name printable: control characters and bytes that are not UTF-8 become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def command_line(*words: object, **options: object) -> str:
    """Return a `covid-xray` command as one line quoted for the shell; options that are `None` or empty are left out.

    `where=["a=1", "b=2"]` becomes `--where a=1 --where b=2`.
    """
    parts = ["covid-xray", *map(str, words)]
    for name, value in options.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                parts += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(parts)


def print_next(*words: object, stderr: bool = False, **options: object) -> None:
    """Print the command to run next (see `command_line`) on one line, however long, in the bytes of its file names."""
    import typer

    typer.echo(os.fsencode(f"next: {command_line(*words, **options)}"), err=stderr)


def print_failures(failures: "list[Failure]") -> None:
    """Print each failed image with its reason on stderr."""
    for failure in failures:
        err.line(f"{readable(failure.image)}: {failure.message} ({failure.code})")


def list_items(paths: Iterable[str | Path]) -> "tuple[list[Item], Counter[str]]":
    """List the images behind the arguments of a command, and count the files passed over; refuse when there is none."""
    from covid_xray.inference.io.inputs import expand, require_any
    from covid_xray.limits import Limits

    passed_over: Counter[str] = Counter()
    items = list(expand(paths, limits=Limits(), passed_over=passed_over))
    require_any(items, paths)
    return items, passed_over


def print_passed_over(passed_over: Mapping[str, int]) -> None:
    """Count the files that are no images on stderr, by suffix or name; the last line of a command."""
    if passed_over:
        kinds = ", ".join(f"{count:,} {readable(kind)}" for kind, count in sorted(passed_over.items()))
        err.line(f"passed over {sum(passed_over.values()):,} files that are no images: {kinds}")


def finish(failures: "list[Failure]", total: int, *, passed_over: Mapping[str, int] | None = None) -> None:
    """End a command over many images: print the failures and choose the exit code (0, 3 if all failed, 4 if some)."""
    print_failures(failures)
    print_passed_over(passed_over or {})
    if not failures:
        return
    if len(failures) == total:
        raise InputRefused(f"None of the {total} images could be classified; the reason of each is above.")
    raise PartlyDone(f"{len(failures)} of {total} images could not be classified; each is named above.")
