"""metrics.json and audit.json hold the published keys and no others, and every figure carries its interval and n."""

import json
from pathlib import Path

import pytest

from covid_xray.errors import CovidXrayError
from covid_xray.evaluation.evaluate import evaluate
from covid_xray.evaluation.schema import SCHEMAS, Metrics
from covid_xray.evaluation.schema_base import require_schema
from support.brightness import CLASSES, Brightness, baselines, manifest
from support.figures import without_n
from support.reports import AUDIT

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
PUBLISHED = [*(ROOT / "docs" / "results").rglob("*.json"), ROOT / "src/covid_xray/bundle/default/bundle.json"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    rows = [
        {
            "image": f"{i}.png", "label": CLASSES[i % 3], "source": f"site {(i // 3) % 2}", "patient_id": f"p{i // 2}",
            "sex": "MF"[(i // 3) % 2],
        }
        for i in range(120)
    ]  # fmt: skip
    run = {"parts": None, "overlaps": None, "made": None, "audit": AUDIT}
    evaluate(Brightness(), manifest(root, rows), out=root / "out", baselines=baselines(CLASSES), run=run, part="test",
             prevalence="covid=0.05", title="A study", rounds=20)  # fmt: skip
    return json.loads((root / "out" / "metrics.json").read_text())


def test_what_evaluate_writes_fits_the_schema_and_every_interval_has_its_n(written):
    assert Metrics.model_validate(written).figures["macro_f1"].n == 60
    assert without_n(written) == []


@pytest.mark.parametrize("change", [{"n_image": 3}, {"n_images": "many"}, {"worst_source": {"name": "x"}}])
def test_a_wrong_key_or_value_is_an_error_that_names_the_place(written, change):
    with pytest.raises(CovidXrayError, match=next(iter(change))) as caught:
        require_schema({**written, **change}, Metrics)
    assert caught.value.code == "wrong-facts"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_that_of_the_models(name):
    published = json.loads((REFERENCE / f"{name}.schema.json").read_text())
    assert published == SCHEMAS[name].model_json_schema()


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_published_interval_has_its_n(path):
    assert without_n(json.loads(path.read_text(encoding="utf-8"))) == []
