"""A deleted study is hidden at once, can come back for half a minute, and is gone after that."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from covid_xray.errors import NotFound
from covid_xray.store import tables, trash, worklist
from covid_xray.store.records import now
from support.servers import client, service_of, upload


def test_delete_undo_purge(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        study, store = upload(api)["id"], service_of(api).store
        trash.delete_later(store, study)
        assert api.get(f"/api/v1/studies/{study}").status_code == 404
        assert worklist.page(store.database, worklist.Query()).total == 0
        assert trash.purge(store) == []
        trash.restore(store, study)
        assert api.get(f"/api/v1/studies/{study}").status_code == 200
        trash.delete_later(store, study)
        with store.database.writing() as connection:
            long_ago = now() - timedelta(seconds=trash.UNDO_SECONDS + 1)
            connection.execute(sa.update(tables.studies).values(deleted=long_ago))
        with pytest.raises(NotFound):
            trash.restore(store, study)
        assert trash.purge(store) == [study]
        assert not list(store.images.folder.glob("*.png"))
