"""Show progress bars in notebooks and terminals, and sentences for people on standard error."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator

Stages = Callable[[str, int, int, str], None]  # stage, done, total, note


@contextlib.contextmanager
def stages(*, show: bool = True) -> Iterator[Stages]:
    """Yield a function of (stage, done, total, note) that draws a bar for each stage, in a notebook a widget.

    A finished stage leaves one line with its note. With `show=False` nothing is drawn.
    """
    if not show:
        yield lambda stage, done, total, note: None
        return
    bars: dict[str, object] = {}
    tqdm = _tqdm()

    def update(stage: str, done: int, total: int, note: str) -> None:
        if stage not in bars:
            bars[stage] = tqdm(desc=stage, total=total, file=sys.stderr)
        bar = bars[stage]
        bar.total, bar.n = total, done  # type: ignore[attr-defined]
        bar.set_postfix_str(note)  # type: ignore[attr-defined]
        if done >= total:
            bars.pop(stage).close()  # type: ignore[attr-defined]

    try:
        yield update
    finally:
        for bar in bars.values():
            bar.close()  # type: ignore[attr-defined]


@contextlib.contextmanager
def bar(label: str, *, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that draws one bar."""
    with stages(show=show) as update:
        yield lambda done, total: update(label, done, total, "")


def say(text: str, warning: bool) -> None:
    """Print a sentence on standard error, a warning as a Python warning: notebooks show both."""
    if warning:
        warnings.warn(text, stacklevel=2)
    else:
        print(text, file=sys.stderr)


def _tqdm() -> Callable[..., object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a notebook without widgets, where the bar is text
        from tqdm.auto import tqdm
    return tqdm
