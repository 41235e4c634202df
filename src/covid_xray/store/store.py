"""Findings in, studies out: every transaction that the server makes on studies, feedback and the audit log.

A study is an image on the shelf and a row in the database. The image is on disk before the row is committed and goes
after the row is gone, so that a crash leaves at most an image without a row, which the next start clears.
"""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from covid_xray.config import Serving
from covid_xray.errors import CovidXrayError, InputRefused, NotFound
from covid_xray.images.radiograph import Radiograph
from covid_xray.limits import Limits
from covid_xray.store import tables
from covid_xray.store.database import Database, insert_once, sqlite_url
from covid_xray.store.image_files import Shelf
from covid_xray.store.records import (
    AuditEntry,
    Feedback,
    Key,
    NewStudy,
    Study,
    Verdict,
    as_feedback,
    as_study,
    clean_text,
    model_columns,
    now,
    study_row,
    unpacked_maps,
)


class Store:
    """The studies of one server; thread-safe. Use `open_store`."""

    def __init__(self, database: Database, shelf: Shelf, *, limits: Limits) -> None:
        self.database, self.shelf, self.limits = database, shelf, limits

    def add_many(self, new: Sequence[NewStudy]) -> list[Study | CovidXrayError]:
        """Store studies in one transaction; returns them in order when they are on disk.

        A study whose key is known already is not stored again: the one that is there is returned for it. One whose key
        was given for another body is not stored: its place holds an `InputRefused` (`key-reused`).

        Raises:
            Busy, StoreFull: the database; nothing is stored.
        """
        self.shelf.sync()
        with self.database.writing() as connection:
            ids = [_claimed(connection, study) for study in new]
            rows = [study_row(study) for study, identity in zip(new, ids, strict=True) if identity == study.id]
            self._insert(connection, rows)
            for study, identity in zip(new, ids, strict=True):
                if study.job_item and identity == study.id:
                    _answer_item(connection, study.job_item, study.id)
            found = {row["id"]: as_study({**row, "verdict": None}) for row in rows}
            found |= _studies(connection, [it for it in ids if isinstance(it, str) and it not in found])
        for study, identity in zip(new, ids, strict=True):
            if identity != study.id:
                self.shelf.remove(study.id)
        return [found.get(identity, _gone()) if isinstance(identity, str) else identity for identity in ids]

    def _insert(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        connection.execute(sa.insert(tables.studies), rows)
        lines = [
            {"created": row["created"], "who": row["uploader"], "action": "upload", "what": row["id"]} for row in rows
        ]
        connection.execute(sa.insert(tables.audit), lines)

    def study(self, identity: str) -> Study:
        """One study. Raises `NotFound`."""
        with self.database.reading() as connection:
            found = _studies(connection, [identity])
        if identity not in found:
            raise _gone()
        return found[identity]

    def studies(self, ids: Sequence[str]) -> dict[str, Study]:
        """Those of these studies that are there, by id."""
        with self.database.reading() as connection:
            return _studies(connection, ids)

    def of_key(self, key: Key) -> str | None:
        """Id of the study or job that this key gave before. Raises `InputRefused` (`key-reused`) for another body."""
        with self.database.reading() as connection:
            return result_of(connection, key)

    def radiograph(self, study: Study) -> Radiograph:
        """The image of a study. Raises `NotFound`."""
        return self.shelf.get(study.id, bits=study.bits, limits=self.limits)

    def class_maps(self, study: Study) -> NDArray[np.float32]:
        """C x h x w class maps of a study, classes in the order of its probabilities. Raises `NotFound`."""
        columns = tables.studies.c
        with self.database.reading() as connection:
            query = sa.select(columns.class_maps, columns.class_maps_about).where(columns.id == study.id)
            row = connection.execute(query).one_or_none()
        if row is None:
            raise _gone()
        return unpacked_maps(row.class_maps, row.class_maps_about)

    def delete(self, identity: str) -> None:
        """Delete a study, its feedback and its image; all are gone from disk when this returns. Raises `NotFound`."""
        with self.database.writing() as connection:
            gone = connection.execute(sa.delete(tables.studies).where(tables.studies.c.id == identity)).rowcount
            connection.execute(sa.delete(tables.keys).where(tables.keys.c.result_id == identity))
        if not gone:
            raise _gone()
        self.shelf.remove(identity)
        self.shelf.sync()

    def expire(self, *, hours: float) -> int:
        """Delete what is older than `hours` (0: nothing): studies, jobs. Returns how many studies.

        Keys live for a day and sessions as long as they were made for, whatever `hours` is.
        """
        moment = now()
        with self.database.writing() as connection:
            connection.execute(sa.delete(tables.keys).where(tables.keys.c.created < moment - timedelta(days=1)))
            connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.expires < moment))
            if not hours:
                return 0
            old = tables.studies.c.created < moment - timedelta(hours=hours)
            ids = list(connection.scalars(sa.select(tables.studies.c.id).where(old)))
            connection.execute(sa.delete(tables.keys).where(tables.keys.c.result_id.in_(ids)))
            connection.execute(sa.delete(tables.studies).where(tables.studies.c.id.in_(ids)))
            jobs = tables.jobs.c
            done = jobs.finished.is_not(None) & (jobs.created < moment - timedelta(hours=hours))
            connection.execute(sa.delete(tables.jobs).where(done))
        for identity in ids:
            self.shelf.remove(identity)
        self.shelf.sync()
        return len(ids)

    def add_feedback(
        self, study: Study, *, reader: str, verdict: Verdict, label: str | None = None, note: str = ""
    ) -> Feedback:
        """Keep what a reader says of a study. Raises `NotFound` when the study has gone meanwhile.

        Args:
            study: as it was shown; the feedback is about its network.
            reader: who says so.
            verdict: `agree`, `disagree`, or `correct` with the right `label`.
            label: a class of the study.
            note: free text.
        """
        if (verdict == "correct") != (label is not None) or (label is not None and label not in study.probabilities):
            expected = ", ".join(study.probabilities)
            raise InputRefused(
                f"expected a label of {expected} with the verdict 'correct', none with another. Received: "
                f"{verdict!r} with {'a label' if label else 'none'}",
                code="bad-feedback",
            )
        values = {"study_id": study.id, "created": now(), "reader": reader, "verdict": verdict, "label": label}
        values |= {"note": clean_text(note), **model_columns(study.model)}
        with self.database.writing() as connection:
            of_study = tables.studies.c.id == study.id
            if not connection.execute(sa.update(tables.studies).where(of_study).values(verdict=verdict)).rowcount:
                raise _gone()
            result = connection.execute(sa.insert(tables.feedback).values(values))
            key = result.inserted_primary_key
        return as_feedback({**values, "id": key[0] if key else 0})

    def set_joint(self, identity: str, joint: dict[str, Any] | None) -> Study:
        """Store the joint answer of a study (`joint_rows.joint_as_dict`), or take it away. Raises `NotFound`."""
        with self.database.writing() as connection:
            study = _studies(connection, [identity]).get(identity)
            if study is None:
                raise _gone()
            finding = {**study.finding, "joint": joint}
            where = tables.studies.c.id == identity
            connection.execute(sa.update(tables.studies).where(where).values(finding=finding))
        return dataclasses.replace(study, finding=finding)

    def feedback(self, identity: str | None = None) -> list[Feedback]:
        """The feedback on a study, or on all, oldest first."""
        query = sa.select(tables.feedback).order_by(tables.feedback.c.id)
        if identity is not None:
            query = query.where(tables.feedback.c.study_id == identity)
        with self.database.reading() as connection:
            return [as_feedback(dict(row)) for row in connection.execute(query).mappings()]

    def record(self, who: str, action: str, what: str | None = None) -> None:
        """Add a line to the audit log."""
        with self.database.writing() as connection:
            _log(connection, who, action, what)

    def audit(self, *, limit: int = 100, offset: int = 0) -> list[AuditEntry]:
        """The audit log, newest first."""
        log = tables.audit.c
        query = sa.select(log.created, log.who, log.action, log.what).order_by(log.id.desc()).limit(limit)
        with self.database.reading() as connection:
            return [AuditEntry(*row) for row in connection.execute(query.offset(offset))]

    def clear_orphans(self) -> int:
        """Delete the images that have no study; returns how many there were."""
        with self.shelf.adding(alone=True):
            self.shelf.count()
            with self.database.reading() as connection:
                known = set(connection.scalars(sa.select(tables.studies.c.id)))
            return self.shelf.clear(known=known)


def _claimed(connection: sa.Connection, new: NewStudy) -> str | InputRefused:
    """The id that a new study is stored under: its own, or that of the study that its key has given before."""
    if not new.key:
        return new.id
    try:
        return claim(connection, new.key, result=new.id)
    except InputRefused as error:
        return error


def _answer_item(connection: sa.Connection, item: tuple[str, int], study: str) -> None:
    where = (tables.items.c.job_id == item[0]) & (tables.items.c.number == item[1])
    connection.execute(sa.update(tables.items).where(where).values(study_id=study))


def open_database(settings: Serving) -> Database:
    """The database that the settings name, with its tables. Raises `Busy`, `UsageError`, `MissingPackage`."""
    if settings.database:
        return Database(settings.database)
    return Database(sqlite_url(settings.store.expanduser() / "studies.sqlite"))


def claim(connection: sa.Connection, key: Key, *, result: str) -> str:
    """Bind a key to `result`, or return the result that it has. Raises `InputRefused` (`key-reused`)."""
    row = {"sha256": key.sha256, "created": now(), "body_sha256": key.body_sha256, "result_id": result}
    if insert_once(connection, tables.keys, row):
        return result
    return result_of(connection, key) or result


def result_of(connection: sa.Connection, key: Key) -> str | None:
    """The result of a key. Raises `InputRefused` (`key-reused`) when it was given for another body."""
    keys = tables.keys.c
    row = connection.execute(sa.select(keys.body_sha256, keys.result_id).where(keys.sha256 == key.sha256)).one_or_none()
    if row is None:
        return None
    if row.body_sha256 != key.body_sha256:
        raise InputRefused(
            "expected a new Idempotency-Key for another request. Received: a used one", code="key-reused"
        )
    return str(row.result_id)


def _log(connection: sa.Connection, who: str, action: str, what: str | None) -> None:
    values = {"created": now(), "who": who, "action": action, "what": what}
    connection.execute(sa.insert(tables.audit).values(values))


def _gone() -> NotFound:
    return NotFound("expected the id of a stored study. Received: none of this id, or no longer")


def _studies(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Study]:
    if not ids:
        return {}
    query = sa.select(tables.studies).where(tables.studies.c.id.in_(ids))
    return {row["id"]: as_study(dict(row)) for row in connection.execute(query).mappings()}
