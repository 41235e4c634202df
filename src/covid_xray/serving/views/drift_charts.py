"""Lay out the charts of the drift page: each test over time, and the answers of each day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from covid_xray.inference.drift.checks import EVERY, TESTS
from covid_xray.inference.drift.reference import MOST
from covid_xray.serving.views.languages import count, gettext, mark
from covid_xray.store.drift.monitor import SHOWN_DAYS, Status
from covid_xray.store.drift.rows import Check

WIDTH, HEIGHT = 640.0, 150.0  # of a chart, in its own units
_TOP = 1.5  # of the axis at least; 1 is the limit
_DAYS = 60  # shown
NAMES: Mapping[str, tuple[str, str]] = {
    "embeddings": (mark("Features of the network"), mark("energy distance, among images of one probability")),
    "pictures": (mark("Greys, sharpness, size"), mark("energy distance of the pictures as they came")),
    "files": (mark("View and vendor"), mark("population stability index")),
    "answers": (mark("Answers"), mark("population stability index, refused files among them")),
    "positives": (mark("Share of positive answers"), mark("CUSUM, up and down")),
}


KINDS: Mapping[str, str] = {
    "appearance": mark("The appearance of the images has changed."),
    "prevalence": mark("The share of answers has changed, but not what images of one answer look like: prevalence."),
}


@dataclass(frozen=True)
class Series:
    """One line: what it compares with, its points, and the centres of the alarms."""

    against: str
    points: str  # of an SVG polyline
    alarms: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """One test over time; `limit` is the height of the limit, `first` and `last` are images at the ends of the axis."""

    title: str
    about: str
    kind: str
    limit: float
    series: tuple[Series, ...]
    newest: float
    first: int
    last: int


@dataclass(frozen=True)
class Bar:
    """A part of the bar of one day."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Days:
    """Stacked shares of the answers of each day; `names` in the order of the colours."""

    names: tuple[str, ...]
    bars: tuple[Bar, ...]
    first: date
    last: date
    table: tuple[tuple[date, tuple[int, ...]], ...]


def charts(checks: Sequence[Check]) -> list[Chart]:
    """Lay out one chart for each test that has run."""
    return [_chart(test, checks) for test in TESTS if any(_values_of(check, test) for check in checks)]


def days(answers: Mapping[date, Mapping[str, int]]) -> Days | None:
    """Lay out the answers of the newest days; `None` without any."""
    shown = sorted(answers)[-_DAYS:]
    if not shown:
        return None
    names = tuple(sorted({name for day in shown for name in answers[day]}))
    width, bars = min(WIDTH / len(shown), 40.0), []
    for number, day in enumerate(shown):
        total, y = sum(answers[day].values()), HEIGHT
        for name in names:
            height = HEIGHT * answers[day].get(name, 0) / total
            y -= height
            bars.append(Bar(name, round(number * width, 1), round(y, 1), round(width - 1, 1), round(height, 1)))
    table = tuple((day, tuple(answers[day].get(name, 0) for name in names)) for day in shown[::-1])
    return Days(names, tuple(bars), shown[0], shown[-1], table)


def _chart(test: str, checks: Sequence[Check]) -> Chart:
    found = {check.images: _values_of(check, test) for check in checks}
    known = [severity for values in found.values() for severity in values.values()]
    top = max(_TOP, 1.1 * max(known))
    first, last = checks[0].images, checks[-1].images
    title, about = NAMES[test]

    def place(images: int, severity: float) -> tuple[float, float]:
        x = WIDTH / 2 if first == last else WIDTH * (images - first) / (last - first)
        return round(x, 1), round(HEIGHT * (1 - severity / top), 1)

    series = []
    for against in dict.fromkeys(name for values in found.values() for name in values):
        values = [(images, found[images][against]) for images in found if against in found[images]]
        drawn = [(*place(images, severity), severity) for images, severity in values]
        points = " ".join(f"{x},{y}" for x, y, _ in drawn)
        series.append(Series(against, points, tuple((x, y) for x, y, severity in drawn if severity > 1)))
    newest = max(_values_of(checks[-1], test).values(), default=0.0)
    return Chart(title, about, TESTS[test], place(first, 1.0)[1], tuple(series), newest, first, last)


def _values_of(check: Check, test: str) -> dict[str, float]:
    return {result.against: result.severity for result in check.results if result.test == test}


def status_words(status: Status) -> str:
    """Say in one sentence what was found, as `Status.words` does in English."""
    if status.alarm:
        alarm = status.alarm
        named = dict.fromkeys(f"{gettext(NAMES[it.test][0])} ({gettext(it.against)})" for it in alarm.alarms)
        values = {"tests": ", ".join(named), "day": alarm.day, "images": count(alarm.images)}
        noticed = gettext("Tests: %(tests)s. Noticed on %(day)s after %(images)s images.", **values)
        return f"{gettext(KINDS[alarm.kind or 'prevalence'])} {noticed}"
    if not status.ready:
        return gettext(
            "The first %(most)s images are being collected to compare with; there are %(collected)s.",
            most=MOST,
            collected=status.collected,
        )
    if not status.checks:
        return gettext("No check yet: the first comes after %(every)s images.", every=EVERY)
    return gettext(
        "No alarm in the last %(days)s days; %(images)s images were watched.",
        days=SHOWN_DAYS,
        images=count(status.checks[-1].images),
    )
