"""The first tables: studies, feedback, batches, audit, users."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = ("studies", "feedback", "jobs", "items", "keys", "audit", "users", "sessions", "tokens")


def upgrade() -> None:
    """Make them."""
    _studies()
    _feedback()
    _jobs()
    _items()
    _keys()
    _audit()
    _users()
    _sessions()
    _tokens()


def downgrade() -> None:
    """Drop them, with all that they hold."""
    for name in reversed(_TABLES):
        op.drop_table(name)


def _studies() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("uploader", sa.String(length=64), nullable=False),
        sa.Column("upload_sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("view", sa.String(length=16)),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("suspicion", sa.Float(), nullable=False),
        sa.Column("finding", sa.JSON(), nullable=False),
        sa.Column("class_maps", sa.LargeBinary(), nullable=False),
        sa.Column("class_maps_about", sa.JSON(), nullable=False),
        sa.Column("model_name", sa.String(length=128), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=16)),
        sa.Column("study_uid", sa.String(length=64)),
        sa.Column("sop_uid", sa.String(length=64)),
        sa.Column("origin", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_studies_created"), "studies", ["created"])
    op.create_index(op.f("ix_studies_label"), "studies", ["label"])
    op.create_index(op.f("ix_studies_sop_uid"), "studies", ["sop_uid"])
    op.create_index(op.f("ix_studies_study_uid"), "studies", ["study_uid"])
    op.create_index(op.f("ix_studies_suspicion"), "studies", ["suspicion"])
    op.create_index(op.f("ix_studies_verdict"), "studies", ["verdict"])


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("reader", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=64)),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("model_name", sa.String(length=128), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_feedback_study_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_feedback_study_id"), "feedback", ["study_id"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("finished", sa.DateTime()),
        sa.Column("uploader", sa.String(length=64), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_jobs_created"), "jobs", ["created"])


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("file", sa.String(length=64), nullable=False),
        sa.Column("entry", sa.Text()),
        sa.Column("study_id", sa.String(length=32)),
        sa.Column("code", sa.String(length=64)),
        sa.Column("message", sa.Text()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_items_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("result_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index(op.f("ix_keys_created"), "keys", ["created"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("what", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_audit_created"), "audit", ["created"])


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("user_name", sa.String(length=64), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_name"], ["users.name"], name=op.f("fk_sessions_user_name"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index(op.f("ix_sessions_expires"), "sessions", ["expires"])
    op.create_index(op.f("ix_sessions_user_name"), "sessions", ["user_name"])


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("user_name", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_name"], ["users.name"], name=op.f("fk_tokens_user_name"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index(op.f("ix_tokens_user_name"), "tokens", ["user_name"])
