"""Create the first tables: studies, feedback, batches, audit log, users."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_NAMES = ("studies", "feedback", "jobs", "items", "keys", "audit", "users", "sessions", "tokens")


def upgrade() -> None:
    """Create the tables."""
    _studies_and_feedback()
    _batches()
    _audit_and_users()


def downgrade() -> None:
    """Drop the tables with all rows."""
    for name in reversed(_NAMES):
        op.drop_table(name)


def _text(name: str, length: int, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=length), nullable=null, primary_key=key)


def _number(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False, primary_key=key)


def _time(name: str = "created", *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(), nullable=null)


def _model() -> list[sa.Column[Any]]:
    return [_text("model_name", 128), _text("model_version", 64), _text("model_sha256", 64)]


def _parent(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}"
    return sa.ForeignKeyConstraint([column], [parent], name=name, ondelete="CASCADE")


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])


def _studies_and_feedback() -> None:
    studies = [_text("id", 32, key=True), _time(), _text("name", 255), _text("uploader", 64)]
    studies += [_text("upload_sha256", 64), sa.Column("bytes", sa.BigInteger(), nullable=False)]
    studies += [_number("height"), _number("width"), _number("bits"), _text("format", 8), _text("view", 16, null=True)]
    studies += [_text("label", 64), sa.Column("suspicion", sa.Float(), nullable=False)]
    studies += [sa.Column("finding", sa.JSON(), nullable=False)]
    studies += [sa.Column("class_maps", sa.LargeBinary(), nullable=False)]
    studies += [sa.Column("class_maps_about", sa.JSON(), nullable=False), *_model(), _text("verdict", 16, null=True)]
    studies += [_text(name, 64, null=True) for name in ("study_uid", "sop_uid", "origin")]
    op.create_table("studies", *studies)
    _index("studies", "created", "label", "sop_uid", "study_uid", "suspicion", "verdict")
    feedback = [_number("id", key=True), _text("study_id", 32), _time(), _text("reader", 64), _text("verdict", 16)]
    feedback += [_text("label", 64, null=True), sa.Column("note", sa.Text(), nullable=False), *_model()]
    op.create_table("feedback", *feedback, _parent("feedback", "study_id", "studies.id"))
    _index("feedback", "study_id")


def _batches() -> None:
    jobs = [_text("id", 32, key=True), _time(), _time("finished", null=True), _text("uploader", 64), _number("total")]
    op.create_table("jobs", *jobs)
    _index("jobs", "created")
    items = [_text("job_id", 32, key=True), _number("number", key=True), _text("name", 255), _text("file", 64)]
    items += [sa.Column("entry", sa.Text()), _text("study_id", 32, null=True), _text("code", 64, null=True)]
    op.create_table("items", *items, sa.Column("message", sa.Text()), _parent("items", "job_id", "jobs.id"))
    op.create_table("keys", _text("sha256", 64, key=True), _time(), _text("body_sha256", 64), _text("result_id", 32))
    _index("keys", "created")


def _audit_and_users() -> None:
    audit = [_number("id", key=True), _time(), _text("who", 64), _text("action", 32), _text("what", 64, null=True)]
    op.create_table("audit", *audit)
    _index("audit", "created")
    op.create_table("users", _text("name", 64, key=True), _time(), _text("role", 16), _text("password", 255))
    for table, time in (("sessions", "expires"), ("tokens", "created")):
        user = _parent(table, "user_name", "users.name")
        op.create_table(table, _text("sha256", 64, key=True), _text("user_name", 64), _time(time), user)
    _index("sessions", "expires", "user_name")
    _index("tokens", "user_name")
