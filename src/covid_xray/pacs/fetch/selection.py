"""Say which studies to fetch, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from pydicom.uid import UID

from covid_xray.errors import UsageError
from covid_xray.inference.finding import Failure


@dataclass(frozen=True)
class StudySelection:
    """Which studies to fetch: these, or all since a date."""

    studies: tuple[str, ...] = ()
    since: date | None = None


@dataclass
class PullReport:
    """Counts of a pull, and the objects that failed."""

    taken: int = 0
    known: int = 0
    answered: int = 0
    left: int = 0
    remark: str = ""
    failures: list[Failure] = field(default_factory=list)


def parse_selection(studies: Sequence[str], since: str | None) -> StudySelection:
    """Parse --study and --since. Raises `UsageError` for both, none, an invalid UID or an invalid date."""
    if bool(studies) == bool(since):
        raise UsageError("Give either --study UID or --since DATE.")
    if not all(is_uid(uid) for uid in studies):
        raise UsageError("--study is not a Study Instance UID. Give one such as 1.2.840.113619.2.1.")
    try:
        return StudySelection(tuple(studies), date.fromisoformat(since) if since else None)
    except ValueError:
        raise UsageError(f"--since is not a date: {since}. Give one such as 2026-11-26.") from None


def is_uid(text: str) -> bool:
    """Return whether a text is a valid UID."""
    return UID(text, 0).is_valid
