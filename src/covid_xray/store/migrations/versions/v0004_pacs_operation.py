"""Add the order of work, resending, storage commitment and refusals to the tables of the DICOM node."""

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision = "v0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and create the table."""
    op.add_column("arrivals", sa.Column("priority", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("deliveries", sa.Column("since", sa.DateTime(), nullable=True))
    op.add_column("deliveries", sa.Column("transaction_uid", sa.String(length=64), nullable=True))
    op.create_table(
        "refusals",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("ae_title", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("code", "ae_title", "address"),
    )


def downgrade() -> None:
    """Drop the table with all rows, and the columns."""
    op.drop_table("refusals")
    op.drop_column("deliveries", "transaction_uid")
    op.drop_column("deliveries", "since")
    op.drop_column("arrivals", "priority")
