"""Site files: what is read is what was written, for the bundle that was checked."""

import json
from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.errors import InputRefused
from covid_xray.inference.site.correction import Correction
from covid_xray.inference.site.site_file import read_site
from support.bundles import make_bundle
from support.sites import make_site_file


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def code_of(path: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        read_site(path)
    return caught.value.code


def test_a_site_file_has_the_promised_keys_and_reads_back(bundle, tmp_path):
    correction = Correction(threshold=0.7, temperature=1.5, constant=-0.2, weights=np.array([0.5, -0.25]))
    folder = make_site_file(tmp_path / "site", bundle, correction=correction, verdict="fit-with-site-threshold")
    facts = json.loads((folder / "site.json").read_text())
    assert list(facts) == ["format", "name", "verdict", "rule", "bundle_sha256", "counts", "thresholds", "signed_by",
                           "expires", "sha256"]  # fmt: skip
    for path in (folder, folder / "site.json"):
        site = read_site(path)
        assert (site.correction.threshold, site.correction.temperature, site.correction.constant) == (0.7, 1.5, -0.2)
        assert site.correction.weights == pytest.approx([0.5, -0.25])
        assert site.check().as_dict() == {
            "name": "St. Elsewhere", "verdict": "fit-with-site-threshold", "sha256": facts["sha256"],
        }  # fmt: skip


def test_a_missing_changed_or_foreign_file_is_refused(bundle, tmp_path):
    assert code_of(tmp_path / "nowhere") == "no-site"
    file = make_site_file(tmp_path / "site", bundle, verdict="not-fit") / "site.json"
    file.write_text(file.read_text().replace("not-fit", "fit"))
    assert code_of(file) == "bad-site"
    file.write_text("[1, 2]")
    assert code_of(file) == "bad-site"
    file.write_text("{" * 3000)
    assert code_of(file) == "bad-site"


def test_it_holds_for_the_bundle_that_was_checked_only(bundle, tmp_path):
    site = read_site(make_site_file(tmp_path / "site", bundle))
    assert site.require_bundle(load_bundle(bundle)) == 1
    record(bundle, metrics={"part": "test"})
    assert site.require_bundle(load_bundle(bundle)) == 1, "figures change no answer"
    record(bundle, temperature=2.0)
    with pytest.raises(InputRefused, match="another bundle") as caught:
        site.require_bundle(load_bundle(bundle))
    assert caught.value.code == "other-bundle"


def test_an_ended_check_says_when(bundle, tmp_path):
    site = read_site(make_site_file(tmp_path / "site", bundle, days=-1))
    assert site.check().ended == site.expires.isoformat()
    assert site.check().as_dict()["ended"] == site.expires.isoformat()
    assert read_site(make_site_file(tmp_path / "today", bundle, days=0)).check().ended is None
