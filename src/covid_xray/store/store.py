"""Store and read studies and feedback, one transaction per call.

A study is an image file and a row in the database. The file is on disk before the row is committed and is deleted
after the row, so a crash leaves at most a file without a row, which the next start deletes.
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
from covid_xray.store import audit_chain, records, tables
from covid_xray.store.database import Database, insert_once, sqlite_url
from covid_xray.store.image_files import ImageFiles
from covid_xray.store.records import Feedback, Key, NewStudy, Study, Verdict, now


class Store:
    """The studies of one database and image folder. Thread-safe.

    Every method raises `Busy` and `StoreFull` when the database cannot do its part; then nothing has changed.
    """

    def __init__(self, database: Database, images: ImageFiles, *, limits: Limits) -> None:
        self.database, self.images, self.limits = database, images, limits

    def add_many(self, new: Sequence[NewStudy]) -> list[Study | CovidXrayError]:
        """Store studies in one transaction and return them in order, committed to disk.

        For a key that is known the existing study is returned; for a key that was used with another body the result is
        an `InputRefused` (`key-reused`). Nothing is stored for either.
        """
        self.images.sync()
        with self.database.writing() as connection:
            ids = [_claimed_id(connection, study) for study in new]
            added = [study for study, identity in zip(new, ids, strict=True) if identity == study.id]
            rows = [records.study_row(study) for study in added]
            _insert(connection, rows)
            for study in added:
                if study.job_item:
                    _finish_item(connection, study.job_item, study.id)
            uploads = [(it.uploader, it.id, it.address) for it in added]
            log = [{"who": who, "action": "upload", "what": what, "address": address} for who, what, address in uploads]
            found = {row["id"]: records.as_study({**row, "verdict": None}) for row in rows}
            found |= _studies(connection, [it for it in ids if isinstance(it, str) and it not in found])
            audit_chain.append(connection, log)
        for study, identity in zip(new, ids, strict=True):
            if identity != study.id:
                self.images.remove(study.id)
        return [found.get(identity, _not_found()) if isinstance(identity, str) else identity for identity in ids]

    def study(self, identity: str) -> Study:
        """Read one study. Raises `NotFound`."""
        with self.database.reading() as connection:
            return _study(connection, identity)

    def studies(self, ids: Sequence[str]) -> dict[str, Study]:
        """Read those of these studies that exist, by id."""
        with self.database.reading() as connection:
            return _studies(connection, ids)

    def result_of_key(self, key: Key) -> str | None:
        """Look up the study or job of a key. Raises `InputRefused` (`key-reused`) for another body."""
        with self.database.reading() as connection:
            return _result_of_key(connection, key)

    def radiograph(self, study: Study) -> Radiograph:
        """Read the image of a study. Raises `NotFound`."""
        return self.images.get(study.id, bits=study.bits, limits=self.limits)

    def class_maps(self, study: Study) -> NDArray[np.float32]:
        """Read the C x h x w class maps of a study, in the order of its probabilities. Raises `NotFound`."""
        columns = tables.studies.c
        with self.database.reading() as connection:
            query = sa.select(columns.class_maps, columns.class_maps_about).where(columns.id == study.id)
            row = connection.execute(query).one_or_none()
        if row is None:
            raise _not_found()
        return records.unpack_maps(row.class_maps, row.class_maps_about)

    def delete(self, identity: str) -> None:
        """Delete a study with its feedback and image; all are gone from disk on return. Raises `NotFound`."""
        with self.database.writing() as connection:
            deleted = connection.execute(sa.delete(tables.studies).where(tables.studies.c.id == identity)).rowcount
            connection.execute(sa.delete(tables.feedback).where(tables.feedback.c.study_id == identity))
            connection.execute(sa.delete(tables.keys).where(tables.keys.c.result_id == identity))
        if not deleted:
            raise _not_found()
        self.images.remove(identity)
        self.images.sync()

    def expire(self, *, hours: float) -> int:
        """Delete studies and finished jobs older than `hours` (0: none) and return the number of studies.

        The feedback on them stays. Keys older than a day and expired sessions are always deleted.
        """
        time, studies, jobs = now(), tables.studies.c, tables.jobs.c
        with self.database.writing() as connection:
            connection.execute(sa.delete(tables.keys).where(tables.keys.c.created < time - timedelta(days=1)))
            connection.execute(sa.delete(tables.sessions).where(tables.sessions.c.expires < time))
            if not hours:
                return 0
            limit = time - timedelta(hours=hours)
            ids = list(connection.scalars(sa.select(studies.id).where(studies.created < limit)))
            connection.execute(sa.delete(tables.keys).where(tables.keys.c.result_id.in_(ids)))
            connection.execute(sa.delete(tables.studies).where(studies.id.in_(ids)))
            connection.execute(sa.delete(tables.jobs).where(jobs.finished.is_not(None) & (jobs.created < limit)))
            audit_chain.append(connection, [{"who": "server", "action": "expire", "what": each} for each in ids])
        for identity in ids:
            self.images.remove(identity)
        self.images.sync()
        return len(ids)

    def add_feedback(
        self, study: Study, *, reader: str, verdict: Verdict, label: str | None = None, note: str = ""
    ) -> Feedback:
        """Store a reader's verdict on a study and its network.

        Args:
            study: the study as shown to the reader.
            reader: name of the user.
            verdict: `agree`, `disagree`, or `correct` together with the right `label`.
            label: a class of the study, or `records.OTHER` for another finding or none of them.
            note: free text.

        Raises:
            InputRefused: verdict and label do not fit together (`bad-feedback`).
            NotFound: the study has been deleted.
        """
        accepted = [*study.probabilities, records.OTHER]
        if (verdict == "correct") != (label is not None) or (label is not None and label not in accepted):
            classes = ", ".join(accepted)
            message = f"The label does not fit the verdict. Send one of {classes} with 'correct', no label otherwise."
            raise InputRefused(message, code="bad-feedback")
        values = {"study_id": study.id, "created": now(), "reader": reader, "verdict": verdict, "label": label}
        values |= {"note": records.clean_text(note), **records.model_columns(study.model)}
        values |= {"answered": study.label, "upload_sha256": study.upload_sha256}
        with self.database.writing() as connection:
            where = tables.studies.c.id == study.id
            if not connection.execute(sa.update(tables.studies).where(where).values(verdict=verdict)).rowcount:
                raise _not_found()
            key = connection.execute(sa.insert(tables.feedback).values(values)).inserted_primary_key
        return records.as_feedback({**values, "id": key[0] if key else 0})

    def set_joint(self, identity: str, joint: dict[str, Any] | None) -> Study:
        """Store or remove the answer with clinical values (`joint_rows.joint_as_dict`). Raises `NotFound`."""
        with self.database.writing() as connection:
            study = _study(connection, identity)
            finding = {**study.finding, "joint": joint}
            where = tables.studies.c.id == identity
            connection.execute(sa.update(tables.studies).where(where).values(finding=finding))
        return dataclasses.replace(study, finding=finding)

    def related(self, study: Study, *, limit: int = 6) -> tuple[list[Study], list[Study]]:
        """Read the newest other studies of the same patient, and of the same file."""
        columns = tables.studies.c
        others = sa.select(tables.studies).where(columns.id != study.id, columns.deleted.is_(None))
        newest = others.order_by(columns.created.desc()).limit(limit)
        with self.database.reading() as connection:

            def read(where: sa.ColumnElement[bool]) -> list[Study]:
                return [records.as_study(dict(row)) for row in connection.execute(newest.where(where)).mappings()]

            copies = read(columns.upload_sha256 == study.upload_sha256)
            patients = read(columns.patient_key == study.patient_key) if study.patient_key else []
        same = {one.id for one in copies}
        return [one for one in patients if one.id not in same], copies

    def feedback(self, identity: str | None = None) -> list[Feedback]:
        """Read the feedback on one study, or on all, oldest first."""
        query = sa.select(tables.feedback).order_by(tables.feedback.c.id)
        if identity is not None:
            query = query.where(tables.feedback.c.study_id == identity)
        with self.database.reading() as connection:
            return [records.as_feedback(dict(row)) for row in connection.execute(query).mappings()]

    def ids_with_feedback(self) -> set[str]:
        """Read the ids of the studies that still exist and have feedback."""
        columns = tables.studies.c
        said = sa.select(tables.feedback.c.study_id)
        with self.database.reading() as connection:
            return set(connection.scalars(sa.select(columns.id).where(columns.id.in_(said), columns.deleted.is_(None))))

    def clear_orphans(self) -> int:
        """Delete the images without a study and return how many there were."""
        with self.images.write_lock(exclusive=True):
            self.images.rescan()
            with self.database.reading() as connection:
                known = set(connection.scalars(sa.select(tables.studies.c.id)))
            return self.images.remove_orphans(known=known)


def open_database(settings: Serving) -> Database:
    """Open the database of the settings and migrate it. Raises `Busy`, `UsageError`, `MissingPackage`."""
    return Database(settings.database or sqlite_url(settings.store.expanduser() / "studies.sqlite"))


def claim(connection: sa.Connection, key: Key, *, result: str) -> str:
    """Bind a key to `result`, or return the result it already has. Raises `InputRefused` (`key-reused`)."""
    row = {"sha256": key.sha256, "created": now(), "body_sha256": key.body_sha256, "result_id": result}
    if insert_once(connection, tables.keys, row):
        return result
    return _result_of_key(connection, key) or result


def _result_of_key(connection: sa.Connection, key: Key) -> str | None:
    keys = tables.keys.c
    row = connection.execute(sa.select(keys.body_sha256, keys.result_id).where(keys.sha256 == key.sha256)).one_or_none()
    if row is None:
        return None
    if row.body_sha256 != key.body_sha256:
        raise InputRefused(
            "This Idempotency-Key was used for another request. Send a new key for a new request.", code="key-reused"
        )
    return str(row.result_id)


def _claimed_id(connection: sa.Connection, new: NewStudy) -> str | InputRefused:
    """Return the id to store a study under: its own, or that of the study that its key already has."""
    if not new.key:
        return new.id
    try:
        return claim(connection, new.key, result=new.id)
    except InputRefused as error:
        return error


def _insert(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(tables.studies), rows)


def _finish_item(connection: sa.Connection, item: tuple[str, int], study: str) -> None:
    where = (tables.items.c.job_id == item[0]) & (tables.items.c.number == item[1])
    connection.execute(sa.update(tables.items).where(where).values(study_id=study))


def _not_found() -> NotFound:
    return NotFound("No such study: the id is wrong, or the study was deleted or has expired.")


def _study(connection: sa.Connection, identity: str) -> Study:
    try:
        return _studies(connection, [identity])[identity]
    except KeyError:
        raise _not_found() from None


def _studies(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Study]:
    if not ids:
        return {}
    columns = tables.studies.c
    query = sa.select(tables.studies).where(columns.id.in_(ids), columns.deleted.is_(None))
    return {row["id"]: records.as_study(dict(row)) for row in connection.execute(query).mappings()}
