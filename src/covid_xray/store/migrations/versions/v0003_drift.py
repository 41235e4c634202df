"""Create the tables of drift monitoring: a sample of images without pictures, counts by day, and checks."""

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "drift_images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("chance", sa.Float(), nullable=False),
        sa.Column("answer", sa.String(length=64), nullable=False),
        sa.Column("ill", sa.Float(), nullable=True),
        sa.Column("view", sa.String(length=16), nullable=True),
        sa.Column("vendor", sa.String(length=16), nullable=True),
        sa.Column("objections", sa.JSON(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=True),
        sa.Column("figures", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_drift_images_model_sha256", "drift_images", ["model_sha256"])
    op.create_table(
        "drift_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "kind", "name"),
    )
    op.create_table(
        "drift_checks",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("up", sa.Float(), nullable=False),
        sa.Column("down", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_drift_checks_model_sha256", "drift_checks", ["model_sha256"])


def downgrade() -> None:
    """Drop the tables with all rows."""
    for name in ("drift_checks", "drift_counts", "drift_images"):
        op.drop_table(name)
