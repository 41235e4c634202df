"""Declare the tables of the store; `migrations/` creates them, and a test compares the two."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class UtcTime(sa.TypeDecorator[datetime]):
    """A time with a zone, stored as UTC without one, so that SQLite and PostgreSQL compare it alike."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Convert to UTC and drop the zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Add the zone again."""
        return None if value is None else value.replace(tzinfo=UTC)


metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"}
)

_FILTERS = ("deleted", "name", "label", "verdict", "origin")

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("created", UtcTime, nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),  # file name of the upload; stored here only, never logged
    sa.Column("uploader", sa.String(64), nullable=False),
    sa.Column("upload_sha256", sa.String(64), nullable=False, index=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),  # size of the image file
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("bits", sa.Integer, nullable=False),
    sa.Column("format", sa.String(8), nullable=False),
    sa.Column("view", sa.String(16)),
    sa.Column("label", sa.String(64), nullable=False, index=True),
    sa.Column("suspicion", sa.Float, nullable=False),  # 0..1, from records.suspicion
    sa.Column("finding", sa.JSON, nullable=False),  # records.study_row
    sa.Column("class_maps", sa.LargeBinary, nullable=False),  # records.pack_maps
    sa.Column("class_maps_about", sa.JSON, nullable=False),
    sa.Column("model_name", sa.String(128), nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("model_sha256", sa.String(64), nullable=False),
    sa.Column("verdict", sa.String(16)),  # of the newest feedback
    sa.Column("study_uid", sa.String(64), index=True),  # DICOM UIDs and the PACS that sent it
    sa.Column("sop_uid", sa.String(64), index=True),
    sa.Column("origin", sa.String(64), index=True),
    # whether the label is "cannot say": these come first
    sa.Column("unsaid", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("deleted", UtcTime),  # when; it can be undone for a moment (`store/trash.py`)
    sa.Column("patient_key", sa.String(64), index=True),  # a pseudonym (`patient_key.py`)
    sa.Column("spacing", sa.JSON),  # mm between pixels: row, column
    # Both hold whatever the worklist sorts, filters and searches by, so that it reads 25 rows of the table and no more.
    sa.Index("ix_studies_order", "unsaid", "suspicion", "created", "id", *_FILTERS),
    sa.Index("ix_studies_newest", "unsaid", "created", "id", *_FILTERS),
)

unread_files = sa.Table(  # files that could not be read, until a user has dealt with them
    "unread_files",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),  # of the hash of the file
    sa.Column("created", UtcTime, nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("uploader", sa.String(64), nullable=False),
    sa.Column("origin", sa.String(64)),
    sa.Column("seen", UtcTime),
)

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.String(32), nullable=False, index=True),  # no foreign key: feedback outlives its study
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("reader", sa.String(64), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),  # agree, disagree, correct
    sa.Column("label", sa.String(64)),  # a class of the network, or `other`
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("answered", sa.String(64)),  # label and file of the study, which may have expired
    sa.Column("upload_sha256", sa.String(64)),
    sa.Column("model_name", sa.String(128), nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("model_sha256", sa.String(64), nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("created", UtcTime, nullable=False, index=True),
    sa.Column("finished", UtcTime),
    sa.Column("uploader", sa.String(64), nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("job_id", sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("file", sa.String(64), nullable=False),  # in the inbox
    sa.Column("entry", sa.Text),  # name in the zip archive, as JSON so that any name survives
    sa.Column("study_id", sa.String(32)),
    sa.Column("code", sa.String(64)),
    sa.Column("message", sa.Text),
)

keys = sa.Table(  # Idempotency-Key
    "keys",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),  # of sender, route and key
    sa.Column("created", UtcTime, nullable=False, index=True),
    sa.Column("body_sha256", sa.String(64), nullable=False),
    sa.Column("result_id", sa.String(32), nullable=False),  # of a study or a job
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created", UtcTime, nullable=False, index=True),
    sa.Column("who", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("what", sa.String(64)),  # id of a study or a job, name of a user
    sa.Column("address", sa.String(64)),  # of the client
    sa.Column("code", sa.String(64)),  # why it was refused; none where it was done
    sa.Column("hash", sa.String(64), nullable=False, server_default=""),  # of this line and the hash before it
)

audit_head = sa.Table(  # one row, of the newest line; appending locks it
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("last_id", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

audit_anchors = sa.Table(  # what is left of removed lines
    "audit_anchors",
    metadata,
    sa.Column("last_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("first_id", sa.Integer, nullable=False),
    sa.Column("until", UtcTime, nullable=False),  # time of the last line
    sa.Column("hash", sa.String(64), nullable=False),  # of the last line
    sa.Column("removed", UtcTime, nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.String(255), nullable=False),  # argon2id; empty: logs in by OpenID Connect only
    sa.Column("subject", sa.String(255), unique=True, index=True),  # issuer and subject of OpenID Connect
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),  # of the cookie
    sa.Column("user_name", sa.ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("expires", UtcTime, nullable=False, index=True),
    sa.Column("seen", UtcTime, nullable=False),  # last use; at most a minute late
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),  # of the token
    sa.Column("user_name", sa.ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("name", sa.String(64), nullable=False, server_default=""),  # what it is for
    sa.Column("scope", sa.String(16), nullable=False, server_default="all"),  # accounts.Scope
    sa.Column("expires", UtcTime),
    sa.Column("used", UtcTime),  # last use; at most an hour late
)

lockouts = sa.Table(  # failed log-ins in a row
    "lockouts",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),  # of the name or address: what was typed may be a password
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last", UtcTime, nullable=False),
    sa.Column("until", UtcTime),  # locked until then
)

arrivals = sa.Table(  # DICOM objects received
    "arrivals",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),  # also the id of its study
    sa.Column("created", UtcTime, nullable=False, index=True),
    sa.Column("origin", sa.String(64), nullable=False),  # AE title of the sender, or the peer it was fetched from
    sa.Column("study_uid", sa.String(64), nullable=False),
    sa.Column("sop_uid", sa.String(64), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),  # of the data set
    sa.Column("state", sa.String(16), nullable=False, index=True),  # waiting, answered, no result, failed
    sa.Column("tries", sa.Integer, nullable=False),  # how often processing began
    sa.Column("code", sa.String(64)),  # why there is no result
    sa.Column("priority", sa.Integer, nullable=False, server_default="1"),  # 0 fetched, 1 sent by C-STORE, 2 urgent
    sa.UniqueConstraint("sop_uid", "sha256", name="uq_arrivals_object"),
)

deliveries = sa.Table(  # results to send
    "deliveries",
    metadata,
    sa.Column("arrival_id", sa.ForeignKey("arrivals.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),  # sc, sr, seg, gsps, fhir, hl7
    sa.Column("peer", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),  # waiting, uncommitted, sent, given up, skipped, test
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due", UtcTime, nullable=False, index=True),
    sa.Column("code", sa.String(64)),  # of the last failure
    sa.Column("since", UtcTime),  # when it was put back into the queue by hand; else the time of its arrival counts
    sa.Column("transaction_uid", sa.String(64)),  # of the request for storage commitment
)

refusals = sa.Table(  # what the node refused, and from whom; a bounded number of rows
    "refusals",
    metadata,
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("ae_title", sa.String(64), primary_key=True),  # empty before an association was requested
    sa.Column("address", sa.String(64), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("last", UtcTime, nullable=False),
)

webhooks = sa.Table(  # requests that have not arrived yet
    "webhooks",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("url", sa.String(1000), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due", UtcTime, nullable=False, index=True),
)

drift_images = sa.Table(  # a bounded sample without picture, name, identifier or time of day; rows of `store/drift/`
    "drift_images",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("model_sha256", sa.String(64), nullable=False, index=True),
    sa.Column("chance", sa.Float, nullable=False),  # 0..1: the lowest of a month are kept
    sa.Column("answer", sa.String(64), nullable=False),  # label, `cannot say` or `refused`
    sa.Column("ill", sa.Float),  # probability
    sa.Column("view", sa.String(16)),
    sa.Column("vendor", sa.String(16)),
    sa.Column("objections", sa.JSON, nullable=False),  # names of checks of the gate
    sa.Column("embedding", sa.LargeBinary),  # float16
    sa.Column("figures", sa.LargeBinary),  # float32, of images/appearance.py
)

drift_counts = sa.Table(
    "drift_counts",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),  # answer, objection, view, vendor, refused
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("images", sa.Integer, nullable=False),
)

drift_checks = sa.Table(
    "drift_checks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # of the newest image it looked at
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("model_sha256", sa.String(64), nullable=False, index=True),
    sa.Column("images", sa.Integer, nullable=False),  # of this network until then, without those of the reference
    sa.Column("up", sa.Float, nullable=False),  # the sums of the CUSUM
    sa.Column("down", sa.Float, nullable=False),
    sa.Column("kind", sa.String(16)),  # of the change; none without an alarm
    sa.Column("results", sa.JSON, nullable=False),  # inference/drift/checks.py
)
