"""audit.json and manifest.json hold the published keys, and every figure has its n."""

import pytest

from covid_xray.errors import CovidXrayError
from covid_xray.evaluation.run_schema import Audit
from covid_xray.evaluation.schema_base import require_schema
from support.reports import AUDIT


def test_an_audit_without_n_does_not_fit():
    assert require_schema(AUDIT, Audit) == AUDIT
    figure = {"value": 0.5, "ci_low": None, "ci_high": None}
    with pytest.raises(CovidXrayError, match=r"conditions\.0\.figures\.macro_f1\.n: Field required"):
        require_schema({**AUDIT, "conditions": [{**AUDIT["conditions"][0], "figures": {"macro_f1": figure}}]}, Audit)
