"""Keep refusals and feedback for readers: what needs eyes first, who is the same patient, what may still be undone."""

import sqlalchemy as sa
from alembic import op

revision = "v0006"
down_revision = "v0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, fill them for the studies that are there, and free the feedback from its study."""
    with op.batch_alter_table("studies") as studies:
        studies.add_column(sa.Column("unsaid", sa.Boolean(), nullable=False, server_default=sa.false()))
        studies.add_column(sa.Column("deleted", sa.DateTime(), nullable=True))
        studies.add_column(sa.Column("patient_key", sa.String(length=64), nullable=True))
        studies.add_column(sa.Column("spacing", sa.JSON(), nullable=True))
    op.execute("UPDATE studies SET unsaid = (label = 'cannot say')")
    op.create_index("ix_studies_order", "studies", ["unsaid", "suspicion", "created", "id", "deleted"])
    op.create_index("ix_studies_newest", "studies", ["unsaid", "created", "id", "deleted"])
    for name in ("origin", "patient_key", "upload_sha256"):
        op.create_index(f"ix_studies_{name}", "studies", [name])
    with op.batch_alter_table("feedback") as feedback:
        feedback.drop_constraint("fk_feedback_study_id", type_="foreignkey")
        feedback.add_column(sa.Column("answered", sa.String(length=64), nullable=True))
        feedback.add_column(sa.Column("upload_sha256", sa.String(length=64), nullable=True))
    op.execute(
        "UPDATE feedback SET answered = (SELECT label FROM studies WHERE studies.id = feedback.study_id), "
        "upload_sha256 = (SELECT upload_sha256 FROM studies WHERE studies.id = feedback.study_id)"
    )
    op.create_table(
        "unread_files",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("uploader", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=64), nullable=True),
        sa.Column("seen", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_unread_files_created", "unread_files", ["created"])


def downgrade() -> None:
    """Remove them; feedback whose study is gone is dropped."""
    op.drop_table("unread_files")
    op.execute("DELETE FROM feedback WHERE study_id NOT IN (SELECT id FROM studies)")
    with op.batch_alter_table("feedback") as feedback:
        feedback.drop_column("upload_sha256")
        feedback.drop_column("answered")
        feedback.create_foreign_key("fk_feedback_study_id", "studies", ["study_id"], ["id"], ondelete="CASCADE")
    for name in ("order", "newest", "origin", "patient_key", "upload_sha256"):
        op.drop_index(f"ix_studies_{name}", "studies")
    with op.batch_alter_table("studies") as studies:
        for name in ("spacing", "patient_key", "deleted", "unsaid"):
            studies.drop_column(name)
