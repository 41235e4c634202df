"""Write results as rows of JSON lines or CSV with the same facts, one whole row at a time, resumable.

A row is written by one `write` call with its newline, so an interrupted run leaves whole rows; a torn last row, as a
power cut may leave, is dropped on resume. Names are kept exactly, also line breaks; in a CSV, which is UTF-8, other
bytes of a name are escapes (`files.shown`).
"""

import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from covid_xray.errors import Busy, InputRefused, UsageError
from covid_xray.files import make_folder, shown
from covid_xray.inference.finding import Failure, Finding, LungFacts, ModelIdentity, SiteCheck, site_in_words
from covid_xray.inference.io.joint_rows import joint_as_dict, joint_cells, joint_columns
from covid_xray.partial import end_of_rows

Answer = Finding | Failure


def as_dict(answer: Answer, *, identity: ModelIdentity, joint: bool = False) -> dict[str, Any]:
    """Write one result as plain data; a failure has the same keys, with its code in `error`.

    With `joint`, or for a finding with a joint prediction, there is also the key `joint`, perhaps `None`; for an
    ensemble the key `spread`; for a file in which something was wrong, the key `warnings` with codes.
    Probabilities are rounded to six digits; one that is not finite becomes `None`, since JSON has no NaN.
    """
    finding = answer if isinstance(answer, Finding) else None
    failure = answer if isinstance(answer, Failure) else None
    kept = finding.prediction_set if finding else None
    facts = {
        "image": answer.image,
        "label": finding.label if finding else None,
        "probabilities": {k: _rounded(v) for k, v in finding.probabilities.items()} if finding else None,
        "ill": _rounded(finding.ill) if finding and finding.ill is not None else None,
        "prediction_set": None if kept is None else list(kept),
        "operating_points": finding.operating_points if finding else None,
        "gate": finding.gate if finding else None,
        "lungs": lungs_as_dict(finding.lungs) if finding and finding.lungs else None,
        "reasons": [failure.message] if failure else list(finding.reasons if finding else ()),
        "model": identity.as_dict(),
        "site": finding.site.as_dict() if finding and finding.site else None,
        "error": failure.code if failure else None,
    }
    if joint or (finding and finding.joint):
        facts["joint"] = joint_as_dict(finding.joint) if finding and finding.joint else None
    if identity.members:
        spread = finding.spread if finding else None
        facts["spread"] = {k: _rounded(v) for k, v in spread.items()} if spread else None
    if finding and finding.warnings:
        facts["warnings"] = list(finding.warnings)
    return facts


def lungs_as_dict(lungs: LungFacts) -> dict[str, Any]:
    """Write the facts about the lungs as plain data, with few digits: they are no measurement."""

    def short(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return {
        "plausible": lungs.plausible,
        "box": [short(side) for side in lungs.box] if lungs.plausible else None,
        "area": short(lungs.area),
        "heat_map_inside": short(lungs.heat_inside),
        "opaque_roughly": None if lungs.opaque is None else round(lungs.opaque, 2),
        "words": lungs.words,
    }


def columns(classes: Sequence[str], *, joint: bool = False, spread: bool = False) -> list[str]:
    """Return the columns of the CSV form: with `joint` those for clinical values too, with `spread` an ensemble's."""
    probabilities = [f"p_{name}" for name in classes]
    others = ["prediction_set", "operating_points", "gate", "lungs", "reasons", "model", "model_sha256"]
    others += ["site", "error", *([f"spread_{name}" for name in classes] if spread else ())]
    return ["image", "label", *probabilities, *others, *(joint_columns(classes) if joint else ()), "warnings"]


def as_row(answer: Answer, *, identity: ModelIdentity, classes: Sequence[str], joint: bool = False) -> list[str]:
    """Write one result as the values of `columns`."""
    facts = as_dict(answer, identity=identity, joint=joint)
    probabilities = facts["probabilities"] or {}
    return [
        facts["image"],
        facts["label"] or "",
        *(_cell(probabilities.get(name)) for name in classes),
        "|".join(facts["prediction_set"] or []),
        *(json.dumps(facts[name]) if facts[name] else "" for name in ("operating_points", "gate", "lungs")),
        "; ".join(facts["reasons"]),
        f"{identity.name} {identity.version}",
        identity.sha256,
        site_in_words(answer.site) if isinstance(answer, Finding) else "",
        facts["error"] or "",
        *(_cell((facts["spread"] or {}).get(name)) for name in (classes if identity.members else ())),
        *(joint_cells(facts["joint"], classes) if joint else ()),
        "|".join(facts.get("warnings", ())),
    ]


class RowFile:
    """A results file open for appending whole rows; a context manager that fsyncs when it closes.

    Args:
        path: `.jsonl` for JSON lines, anything else for CSV.
        identity, classes: of the bundle.
        site: the hospital at which it was checked; `None` where it was not.
        resume: keep the existing rows; without it an existing file is refused.
        joint: rows also hold the predictions with clinical values.

    Attributes:
        done: names of the images that have their row already, as `files.shown` gives them.
        failed: the failures among them.

    Raises:
        UsageError: the file exists, and `resume` is not set.
        InputRefused: the existing rows are of another network (`other-model`) or site (`other-site`) or have other
            columns (`other-columns`), or the file is no results file (`not-results`).
        Busy: another process is writing to it.
    """

    def __init__(
        self,
        path: Path,
        *,
        identity: ModelIdentity,
        classes: Sequence[str],
        site: SiteCheck | None = None,
        resume: bool = False,
        joint: bool = False,
    ) -> None:
        self.path, self.identity, self.classes, self._joint = path, identity, tuple(classes), joint
        self._site = site
        self._json = path.suffix == ".jsonl"
        if path.exists() and not resume:
            raise UsageError(f"{path} already exists. Continue it with --resume, or name another folder.")
        make_folder(path.parent)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock()
            self.done, self.failed = self._reopen()
            if not self._json and os.fstat(self._handle).st_size == 0:
                self._put(csv_line(self._columns))
        except BaseException:
            os.close(self._handle)
            raise

    @property
    def _columns(self) -> list[str]:
        return columns(self.classes, joint=self._joint, spread=bool(self.identity.members))

    def write(self, answer: Answer) -> None:
        """Append one row."""
        self._put(line(answer, identity=self.identity, classes=self.classes, as_json=self._json, joint=self._joint))

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(f"Another process writes to {self.path}. Wait for it, or name another folder.") from None

    def _put(self, text: str) -> None:
        data = encoded(text)
        while data:  # a full disk raises; after a short write the rest follows
            data = data[os.write(self._handle, data) :]

    def _reopen(self) -> tuple[frozenset[str], tuple[Failure, ...]]:
        """Cut a torn last row off; return the images and failures of the existing rows."""
        data = self.path.read_bytes()
        whole = data[: end_of_rows(data, quoted=not self._json)]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        try:
            text = whole.decode("utf-8", errors="surrogateescape")
            rows = _rows(text, header=self._columns, is_json=self._json)
            facts = [_facts(row, is_json=self._json) for row in rows]
        except (ValueError, KeyError, TypeError, csv.Error):
            message = f"{self.path} holds no rows of this command. Name another folder."
            raise InputRefused(message, code="not-results") from None
        if any(_site(row, is_json=self._json) != self._expected_site() for row in rows if not row["error"]):
            raise InputRefused(
                f"{self.path} holds answers of another hospital's site file, or of none. Give the same --site, or name "
                "another folder.",
                code="other-site",
            )
        if any(model != self._expected_model() for _, model, _ in facts):
            raise InputRefused(
                f"{self.path} holds results of another network, or of other copies of its inputs (--tta). Name another "
                "folder.",
                code="other-model",
            )
        if rows and not self._json and _header(text) != self._columns:
            message = f"{self.path} has other columns: it is of another version or options. Name another folder."
            raise InputRefused(message, code="other-columns")
        return frozenset(name for name, _, _ in facts), tuple(failure for _, _, failure in facts if failure)

    def _expected_model(self) -> tuple[str, str]:
        name, version = self.identity.name, self.identity.version
        return version if self._json else f"{name} {version}", self.identity.sha256

    def _expected_site(self) -> str | None:
        if self._json:
            return self._site.sha256 if self._site else None
        return site_in_words(self._site)


def line(answer: Answer, *, identity: ModelIdentity, classes: Sequence[str], as_json: bool, joint: bool = False) -> str:
    """Write one result as a row with its newline: a JSON object, or the values of `columns` as CSV."""
    if as_json:
        return json_line(as_dict(answer, identity=identity, joint=joint))
    return csv_line(as_row(answer, identity=identity, classes=classes, joint=joint))


def json_line(facts: dict[str, Any]) -> str:
    """Write one JSON object and its newline."""
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False) + "\n"
    if text.isascii() or _is_text(text):
        return text
    return json.dumps(facts, allow_nan=False) + "\n"  # a name that is not UTF-8: as \udcXX, so that the file is text


def csv_line(values: Sequence[str]) -> str:
    """Write one CSV row and its newline; a name with a line break is quoted, as in RFC 4180."""
    buffer = io.StringIO()
    # Before Python 3.13 the writer quotes only the line breaks that are part of its own line end.
    csv.writer(buffer, lineterminator="\r\n").writerow(values)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def encoded(text: str) -> bytes:
    """Encode a row as UTF-8; bytes of a file name that are not UTF-8 become escapes."""
    return text.encode("utf-8", errors="backslashreplace")


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _cell(value: float | None) -> str:
    return "" if value is None else str(value)


def _rows(text: str, *, header: list[str], is_json: bool) -> list[dict[str, Any]]:
    if is_json:
        return [json.loads(part) for part in text.split("\n") if part]
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    if text and not rows and _header(text) != header:  # rows show better than a header whose they are
        raise ValueError("another header")
    return rows


def _header(text: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline="")))


def _site(row: dict[str, Any], *, is_json: bool) -> str | None:
    """Return the site of a row: the hash of its file, or the words of a CSV row."""
    site = row.get("site")
    return (site["sha256"] if site else None) if is_json else site


def _facts(row: dict[str, Any], *, is_json: bool) -> tuple[str, tuple[str, str], Failure | None]:
    """Return image, version and SHA-256 of the network, and the failure if it is one."""
    model, sha256 = (
        (row["model"]["version"], row["model"]["sha256"]) if is_json else (row["model"], row["model_sha256"])
    )
    name, code, reasons = row["image"], row["error"], row["reasons"]
    if not isinstance(name, str) or not isinstance(sha256, str):
        raise TypeError("a row without image or network")
    message = "; ".join(reasons) if isinstance(reasons, list) else str(reasons)
    return shown(name), (str(model), sha256), Failure(name, str(code), message) if code else None
