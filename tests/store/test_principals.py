"""Names of roles and scopes."""

import pytest

from covid_xray.errors import InputRefused
from covid_xray.store.principals import as_role, as_scope


def test_roles_and_scopes_are_known_by_name() -> None:
    assert (as_role("admin"), as_scope("metrics")) == ("admin", "metrics")
    with pytest.raises(InputRefused, match="reader, admin"):
        as_role("root")
    with pytest.raises(InputRefused, match="metrics, read, write, all"):
        as_scope("root")
