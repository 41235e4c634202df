"""Let the indexes of the worklist hold whatever it filters and searches by, so that it reads no other rows."""

from alembic import op

revision = "v0008"
down_revision = "v0007"
branch_labels = None
depends_on = None

_ORDER, _NEWEST = ["unsaid", "suspicion", "created", "id"], ["unsaid", "created", "id"]
_FILTERS = ["deleted", "name", "label", "verdict", "origin"]


def upgrade() -> None:
    """Widen both indexes and drop those that made SQLite look up each match in the table."""
    for name in ("order", "newest", "suspicion", "verdict"):
        op.drop_index(f"ix_studies_{name}", "studies")
    op.create_index("ix_studies_order", "studies", [*_ORDER, *_FILTERS])
    op.create_index("ix_studies_newest", "studies", [*_NEWEST, *_FILTERS])


def downgrade() -> None:
    """Make the narrow indexes again."""
    for name in ("order", "newest"):
        op.drop_index(f"ix_studies_{name}", "studies")
    op.create_index("ix_studies_order", "studies", [*_ORDER, "deleted"])
    op.create_index("ix_studies_newest", "studies", [*_NEWEST, "deleted"])
    for name in ("suspicion", "verdict"):
        op.create_index(f"ix_studies_{name}", "studies", [name])
