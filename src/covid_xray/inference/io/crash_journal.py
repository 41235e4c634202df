"""Keep a journal of the images under way, so that a resumed run isolates those at which an earlier run died.

Every image is noted before it is decoded. When a process dies (a decoder that crashes, the system's memory killer, kill
-9), the images that were noted and have no result are suspects, and the next run isolates them:

    in 1 run that died   decoded in a child process, which may die without harm
    in 2                 that, and no other image under way meanwhile, so that no other is suspected
    in 3                 not tried again: it fails with the code `gave-up`

A run that ends by itself, whatever its exit code, leaves no journal.
"""

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from covid_xray.files import shown, write_text
from covid_xray.inference.io.inputs import Item

TRIES = 3  # runs that may die over one image
ALONE = 2  # from so many on it is decoded alone


class Journal:
    """The journal of one results file, `.<name>.journal` beside it; a context manager that removes it at the end.

    Args:
        results: the results file, locked by its writer, so that no other process writes this journal.
        done: images that have their row, as `files.shown` gives their names.
        resume: use the journal of an earlier run; without it that is discarded.

    Attributes:
        died: image -> number of runs that died while it was under way.
    """

    def __init__(self, results: Path, *, done: frozenset[str], resume: bool) -> None:
        self.path = results.with_name(f".{results.name}.journal")
        self.died = _died(self.path, done) if resume else {}
        # The journal holds the earlier counts, then the images that this run begins.
        if self.died:
            write_text(self.path, "".join(_line(name, died) for name, died in self.died.items()))
        fresh = 0 if self.died else os.O_TRUNC
        self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | fresh, 0o666)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
        self.path.unlink(missing_ok=True)

    def runs(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """Yield the items in order, in groups that may be decoded together; a suspect of two runs is a group alone."""
        for alone, group in itertools.groupby(items, lambda item: self.died.get(item.name, 0) >= ALONE):
            isolated = [self._isolate(item) for item in group]
            yield from ([item] for item in isolated) if alone else [isolated]

    def noting(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and note each just before."""
        for item in items:
            os.write(self._handle, _line(item.name).encode("ascii"))
            yield item

    def _isolate(self, item: Item) -> Item:
        died = self.died.get(item.name, 0)
        if died >= TRIES:
            return replace(item, problem="gave-up")
        return replace(item, apart=True) if died else item


def _line(name: str, died: int | None = None) -> str:
    """Write an earlier count, or (without one) a beginning; ASCII, so that a name of any bytes is one line of text."""
    return json.dumps([name] if died is None else [name, died]) + "\n"


def _died(path: Path, done: frozenset[str]) -> dict[str, int]:
    """Read the journal of a run that died; a torn last line, or a file that is no journal, is ignored."""
    counts: dict[str, int] = {}
    begun: set[str] = set()
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            name, *died = json.loads(line)
            counts[str(name)] = int(died[0]) if died else counts.get(str(name), 0)
        except (ValueError, TypeError, IndexError, RecursionError):
            continue
        begun |= set() if died else {str(name)}
    return {name: died + (name in begun) for name, died in counts.items() if shown(name) not in done}
