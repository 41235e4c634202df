"""Add scopes and expiry of tokens, idle sessions, lock-outs, OpenID Connect, and the hash chain of the audit log."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from covid_xray.store.audit_chain import START, chain_hash

revision = "v0005"
down_revision = "v0004"
branch_labels = None
depends_on = None

_ROWS = 1000
_REFUSE_SQLITE = (
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit "
    "WHEN OLD.id > (SELECT coalesce(max(last_id), 0) FROM audit_anchors) "
    "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
)
_REFUSE_POSTGRESQL = """
CREATE FUNCTION audit_append_only() RETURNS trigger AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.id <= (SELECT coalesce(max(last_id), 0) FROM audit_anchors) THEN RETURN OLD; END IF;
  RAISE EXCEPTION 'the audit log is append-only';
END $$ LANGUAGE plpgsql;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_append_only()
"""


def upgrade() -> None:
    """Add the columns and tables; everybody has to log in again."""
    _users()
    for column in (_text("address", 64), _text("code", 64), _text("hash", 64, default="")):
        op.add_column("audit", column)
    op.create_table("audit_head", _key("id"), _number("last_id"), sa.Column("hash", sa.String(64), nullable=False))
    anchor = [_key("last_id"), _number("first_id"), _time("until"), sa.Column("hash", sa.String(64), nullable=False)]
    op.create_table("audit_anchors", *anchor, _time("removed"))
    _chain_old_lines(op.get_bind())
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE_POSTGRESQL)
    else:
        for statement in _REFUSE_SQLITE:
            op.execute(statement)


def downgrade() -> None:
    """Remove them; everybody has to log in again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_no_change ON audit")
        op.execute("DROP FUNCTION audit_append_only()")
    else:
        op.execute("DROP TRIGGER audit_no_update")
        op.execute("DROP TRIGGER audit_no_delete")
    for table in ("audit_anchors", "audit_head", "lockouts"):
        op.drop_table(table)
    op.drop_index("ix_users_subject", "users")
    for table, columns in (
        ("audit", ("hash", "code", "address")),
        ("users", ("subject",)),
        ("sessions", ("seen",)),
        ("tokens", ("name", "scope", "expires", "used")),
    ):
        for column in columns:
            op.drop_column(table, column)


def _users() -> None:
    op.add_column("users", _text("subject", 255))
    op.create_index("ix_users_subject", "users", ["subject"], unique=True)
    op.execute("DELETE FROM sessions")
    op.add_column("sessions", sa.Column("seen", sa.DateTime(), nullable=False, server_default="2000-01-01"))
    for column in (_text("name", 64, default=""), _text("scope", 16, default="all")):
        op.add_column("tokens", column)
    op.add_column("tokens", sa.Column("expires", sa.DateTime()))
    op.add_column("tokens", sa.Column("used", sa.DateTime()))
    key = sa.Column("sha256", sa.String(64), nullable=False, primary_key=True)
    op.create_table("lockouts", key, _number("failures"), _time("last"), sa.Column("until", sa.DateTime()))


def _chain_old_lines(connection: sa.Connection) -> None:
    """Number the lines without gaps and chain them."""
    names = ("id", "who", "action", "what", "hash")
    log = sa.table("audit", *map(sa.column, names), sa.column("created", sa.DateTime()))
    previous, number, after = START, 0, 0
    while rows := connection.execute(sa.select(log).where(log.c.id > after).order_by(log.c.id).limit(_ROWS)).all():
        for row in rows:
            number += 1
            previous = chain_hash(previous, number, row.created, row.who, row.action, row.what, None, None)
            connection.execute(sa.update(log).where(log.c.id == row.id).values(id=number, hash=previous))
        after = rows[-1].id
    head = sa.table("audit_head", sa.column("id"), sa.column("last_id"), sa.column("hash"))
    connection.execute(sa.insert(head).values(id=1, last_id=number, hash=previous))


def _text(name: str, length: int, *, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=default is None, server_default=default)


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False, primary_key=True, autoincrement=False)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(), nullable=False)
