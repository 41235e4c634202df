"""The whole audit of networks that are known to read a corner, or the lungs: the verdict must come out right."""

import json

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadManifest
from covid_xray.evaluation.audit.audit import Plan, audit, write_audit
from covid_xray.evaluation.run_schema import Audit
from covid_xray.evaluation.schema_base import require_schema
from covid_xray.inference.predictor import Predictor
from support.brightness import baselines
from support.figures import without_n
from support.watching import CORNER, LUNGS, draw_chests, make_bundle


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    return draw_chests(tmp_path_factory.mktemp("chests"))


def run(chests, folder, region, **options):
    data, masks = chests
    plan = Plan(**{"masks": masks, "rounds": 60, **options})
    return audit(Predictor(make_bundle(folder / "bundle", region)), read_manifest(data), plan)


@pytest.mark.parametrize(("region", "kind"), [(CORNER, "shortcut"), (LUNGS, "lungs")], ids=["corner", "lungs"])
def test_the_verdict_is_right(chests, tmp_path, region, kind):
    facts = run(chests, tmp_path, region).facts
    assert facts["verdict"]["kind"] == kind
    assert facts["verdict"]["certain"]
    assert facts["masks"]["kind"] == "files"
    assert (facts["images"], facts["patients"]) == (60, 60)


def test_a_box_finds_the_shortcut_too_and_says_that_it_is_a_box(chests, tmp_path):
    facts = run(chests, tmp_path, CORNER, lungs="box").facts
    assert "box over the lungs" in facts["verdict"]["line"]
    assert facts["masks"]["dice_with_files"]["images"] == 60


def test_everything_is_written_and_audit_json_is_plain(chests, tmp_path):
    result = run(chests, tmp_path, CORNER, baselines=baselines(("covid", "normal")), images=40)
    write_audit(result, tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "audit.json").read_text(), parse_constant=pytest.fail)
    assert without_n(facts) == []
    assert facts == require_schema(facts, Audit)
    assert facts["images"] == 40
    assert "40 of 60 images" in facts["notes"][0]
    text = (tmp_path / "out" / "audit.md").read_text()
    assert facts["verdict"]["line"] in text
    assert "not for diagnosis" in text
    assert "macro-F1 0.420" in text
    for name in ("audit_conditions", "audit_examples"):
        picture = np.asarray(Image.open(tmp_path / "out" / "figures" / f"{name}.png"))
        assert picture.std() > 10


def test_the_same_seed_gives_the_same_audit(chests, tmp_path):
    assert run(chests, tmp_path / "a", LUNGS).facts == run(chests, tmp_path / "b", LUNGS).facts


def test_labels_that_the_network_does_not_know_are_refused(chests, tmp_path):
    data, _ = chests
    manifest = read_manifest(data)
    predictor = Predictor(make_bundle(tmp_path / "bundle", CORNER))
    one = manifest.take((manifest.table["label"] == "covid").to_numpy())
    with pytest.raises(BadManifest, match="two or more"):
        audit(predictor, one, Plan())
    table = manifest.table.assign(label=["cat", *manifest.table["label"][1:]])
    with pytest.raises(BadManifest, match="cat"):
        audit(predictor, type(manifest)(table, manifest.root, manifest.quarantine), Plan())
