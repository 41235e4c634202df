"""Answers in, rows out: JSON lines or CSV with the same facts, one whole row at a time, resumable.

A row is written by one `write` call with its newline, so an interrupted run leaves whole rows; a torn last row, as a
power cut may leave, is dropped on resume.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from covid_xray.bundle.finding import Failure, Finding, ModelIdentity
from covid_xray.errors import InputRefused, UsageError

Answer = Finding | Failure


def as_dict(answer: Answer, *, identity: ModelIdentity) -> dict[str, Any]:
    """One answer as plain data; a failure has the same keys, with `error` naming its code."""
    finding = answer if isinstance(answer, Finding) else None
    failure = answer if isinstance(answer, Failure) else None
    kept = finding.prediction_set if finding else None
    return {
        "image": answer.image,
        "label": finding.label if finding else None,
        "probabilities": {k: round(v, 6) for k, v in finding.probabilities.items()} if finding else None,
        "prediction_set": None if kept is None else list(kept),
        "gate": finding.gate if finding else None,
        "reasons": [failure.message] if failure else list(finding.reasons if finding else ()),
        "model": {"name": identity.name, "version": identity.version, "sha256": identity.sha256},
        "error": failure.code if failure else None,
    }


def columns(classes: Sequence[str]) -> list[str]:
    """Header of the CSV form."""
    probabilities = [f"p_{name}" for name in classes]
    return ["image", "label", *probabilities, "prediction_set", "gate", "reasons", "model", "model_sha256", "error"]


def as_row(answer: Answer, *, identity: ModelIdentity, classes: Sequence[str]) -> list[str]:
    """One answer as the values of `columns`."""
    facts = as_dict(answer, identity=identity)
    probabilities = facts["probabilities"] or {}
    return [
        facts["image"],
        facts["label"] or "",
        *(str(probabilities.get(name, "")) for name in classes),
        "|".join(facts["prediction_set"] or []),
        json.dumps(facts["gate"]) if facts["gate"] else "",
        "; ".join(facts["reasons"]),
        f"{identity.name} {identity.version}",
        identity.sha256,
        facts["error"] or "",
    ]


class RowFile:
    """A results file open for appending whole rows; a context manager that fsyncs when it closes.

    Args:
        path: `.jsonl` for JSON lines, anything else for CSV.
        identity, classes: of the bundle that answers.
        resume: keep the rows that are there; without it an existing file is refused.

    Raises:
        UsageError: the file exists and `resume` was not asked for.
        InputRefused: the rows that are there come from another network.
    """

    def __init__(self, path: Path, *, identity: ModelIdentity, classes: Sequence[str], resume: bool = False) -> None:
        self.path, self.identity, self.classes = path, identity, tuple(classes)
        self._json = path.suffix == ".jsonl"
        if path.exists() and not resume:
            raise UsageError(
                f"expected a new file. Received: {path}, which exists; add --resume or name another folder"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.done = self._reopen() if path.exists() else frozenset()
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        if not self._json and path.stat().st_size == 0:
            self._put(csv_line(columns(self.classes)))

    def write(self, answer: Answer) -> None:
        """Append one row."""
        if self._json:
            line = json_line(as_dict(answer, identity=self.identity))
        else:
            line = csv_line(as_row(answer, identity=self.identity, classes=self.classes))
        self._put(line)

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync(self._handle)
        os.close(self._handle)

    def _put(self, line: str) -> None:
        data = line.encode("utf-8", errors="surrogateescape")
        while data:  # a full disk raises; a short write goes on
            data = data[os.write(self._handle, data) :]

    def _reopen(self) -> frozenset[str]:
        """Cut a torn last row off and return the images that have their row already."""
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        rows = _rows(whole.decode("utf-8", errors="surrogateescape"), is_json=self._json)
        for row in rows:
            sha256 = row["model"]["sha256"] if self._json else row["model_sha256"]
            if sha256 != self.identity.sha256:
                raise InputRefused(
                    f"expected {self.path} to hold answers of this network. Received: answers of another; "
                    "name another folder",
                    code="other-model",
                )
        return frozenset(row["image"] for row in rows)


def json_line(facts: dict[str, Any]) -> str:
    """One JSON object and its newline."""
    return json.dumps(facts, ensure_ascii=False) + "\n"


def csv_line(values: Sequence[str]) -> str:
    """One CSV row and its newline."""
    # A line break inside a name would make a row of two lines; none survives into the file.
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([v.replace("\r", " ").replace("\n", " ") for v in values])
    return buffer.getvalue()


def _rows(text: str, *, is_json: bool) -> list[dict[str, Any]]:
    if is_json:
        return [json.loads(line) for line in text.split("\n") if line]
    return list(csv.DictReader(io.StringIO(text)))
