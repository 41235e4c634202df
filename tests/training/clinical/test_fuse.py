"""From a bundle and a table to a bundle with a clinical input: its own answers stay, the study says what is gained."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from covid_xray.bundle.bundle import load_bundle, networks, write_bundle
from covid_xray.cli import app
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadBundle, BadSplit, InputRefused
from covid_xray.inference.predictor import Predictor
from support.patients import draw_study


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_study(tmp_path_factory.mktemp("study"), each=60)


@pytest.fixture(scope="module")
def fused(drawn: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The bundle with a clinical input, the folder of the study, and what the command said."""
    bundle, table = drawn
    folder = tmp_path_factory.mktemp("fused")
    command = ["fuse", bundle, "--data", table, "-o", folder / "study", "--bundle", folder / "bundle", "--rounds", "50"]
    ran = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return folder / "bundle", folder / "study", ran.output


@pytest.mark.slow
def test_the_image_network_and_its_answers_stay(drawn, fused) -> None:
    before, after = Predictor(drawn[0]), Predictor(fused[0])
    paths = [drawn[1].parent / image for image in read_manifest(drawn[1], check=False).table["image"][:20]]
    for one, two in zip(before.predict_many(paths), after.predict_many(paths), strict=True):
        assert one.probabilities == two.probabilities
        assert one.label == two.label
    assert load_bundle(drawn[0]).model == load_bundle(fused[0]).model
    assert load_bundle(drawn[0]).fusion is None


@pytest.mark.slow
def test_the_bundle_names_fields_units_ranges_and_use(fused) -> None:
    facts = load_bundle(fused[0]).facts["fusion"]
    fields = {field["name"]: field for field in facts["fields"]}
    assert (fields["age"]["unit"], fields["age"]["low"], fields["age"]["high"]) == ("years", 0, 120)
    assert fields["age"]["classes"] == ["covid", "normal"]
    assert not fields["spo2"]["used"]
    assert "covid 0" in fields["spo2"]["reason"]
    assert max(facts["parity"].values()) < 1e-4
    assert facts["trained_on"]["parts"] == ["val", "calibration"]


@pytest.mark.slow
def test_an_age_that_tells_moves_the_joint_answer_and_the_study_says_so(drawn, fused) -> None:
    image = next(iter(sorted((drawn[1].parent / "images").glob("covid*"))))
    predictor = Predictor(fused[0])
    old, young = (predictor.predict(image, clinical={"age": years}).joint.probabilities for years in (75.0, 25.0))
    assert old["covid"] / old["normal"] > 3 * young["covid"] / young["normal"]
    study = json.loads((fused[1] / "clinical.json").read_text(encoding="utf-8"))
    found = study["worth"]["stated"]["variants"]
    assert found["joint"]["minus_image"]["nll"]["ci_high"] < 0
    assert abs(found["joint-permuted"]["minus_image"]["macro_f1"]["difference"]) < 0.1
    assert found["joint-permuted"]["figures"]["nll"]["value"] > found["joint"]["figures"]["nll"]["value"]
    assert study["worth"]["fields"]["age"]["images"] == {"covid": 45, "normal": 45, "virus": 0}


@pytest.mark.slow
def test_missingness_that_tells_the_class_is_said_first(fused) -> None:
    """Virus states nothing, covid and normal state everything: the collection talks."""
    study = json.loads((fused[1] / "clinical.json").read_text(encoding="utf-8"))
    assert study["worth"]["missingness"]["tells"]
    assert study["lines"][0].startswith("Missingness alone predicts")
    page = (fused[1] / "clinical.md").read_text(encoding="utf-8")
    assert "> **Missingness alone predicts the class" in page
    assert "SpO2 in percent, 50 to 100. Received: 0.91, which looks like a fraction" in page
    assert "not used" in fused[2] or "fields" in fused[2]


@pytest.mark.slow
def test_predict_takes_values_from_options_and_tables(drawn, fused, tmp_path) -> None:
    images = sorted((drawn[1].parent / "images").glob("covid*"))[:2]
    command = ["predict", *map(str, images), "--bundle", str(fused[0])]
    one = CliRunner().invoke(app, [*command[:2], "--json", "--age", "70", "--sex", "M", *command[3:]])
    answer = json.loads(one.stdout)
    assert answer["joint"]["known"] == {"age": 70.0, "sex": "M"}
    assert set(answer["joint"]["contributions"]) == {"age", "sex"}
    table = tmp_path / "known.csv"
    table.write_text(f"Image,Age,offset_days\n{images[0].name},70,3\n", encoding="utf-8")
    rows = CliRunner().invoke(app, [*command, "--json", "--clinical", str(table)]).stdout.splitlines()
    first, second = map(json.loads, rows)
    assert first["joint"]["known"] == {"age": 70.0, "days_since_onset": 3.0}
    assert "days_since_onset" in first["joint"]["unused"]
    assert second["joint"] is None
    csv = CliRunner().invoke(app, [*command, "--csv", "--age", "70"]).stdout.splitlines()
    assert csv[0].endswith("joint_reasons,known,unused,contributions")
    shown = CliRunner().invoke(app, [*command, "--age", "70"]).stdout
    assert "with what is known" in shown.replace("│", "")


@pytest.mark.slow
def test_a_unit_that_was_mixed_up_stops_the_command(drawn, fused) -> None:
    image = str(sorted((drawn[1].parent / "images").glob("covid*"))[0])
    ran = CliRunner().invoke(app, ["predict", image, "--bundle", str(fused[0]), "--temperature", "98.6"])
    assert isinstance(ran.exception, InputRefused)
    assert "Fahrenheit" in ran.exception.message


@pytest.mark.slow
def test_a_fusion_network_of_another_image_network_is_refused(fused, tmp_path) -> None:
    from support.bundles import network

    bundle = load_bundle(fused[0])
    write_bundle(tmp_path / "b", **{**networks(fused[0]), "model": network(sharpness=2.0)}, facts=bundle.facts)
    with pytest.raises(BadBundle, match="its own network"):
        load_bundle(tmp_path / "b")


@pytest.mark.slow
def test_a_flipped_byte_of_the_fusion_network_is_refused(fused, tmp_path) -> None:
    import shutil

    shutil.copytree(fused[0], tmp_path / "b")
    data = bytearray((tmp_path / "b" / "fusion.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "b" / "fusion.onnx").write_bytes(bytes(data))
    with pytest.raises(BadBundle, match=r"fusion\.onnx"):
        load_bundle(tmp_path / "b")


def test_a_field_with_another_unit_is_refused(drawn, tmp_path) -> None:
    bundle = load_bundle(drawn[0])
    field = {"name": "age", "unit": "months", "low": 0, "high": 120, "used": True, "reason": ""}
    facts = {**bundle.facts, "fusion": {"version": 1, "model_sha256": bundle.sha256, "fields": [field]}}
    write_bundle(tmp_path / "b", model=bundle.model, fusion=b"x", facts=facts)
    with pytest.raises(BadBundle, match="unit, low, high"):
        load_bundle(tmp_path / "b")


def test_a_table_without_unseen_parts_is_refused(drawn) -> None:
    from covid_xray.training.clinical.fuse import in_parts

    manifest = read_manifest(drawn[1], check=False)
    assert in_parts(manifest, ("val", "test")).sum() == len(manifest.table) / 2
    train = manifest.take((manifest.table["split"] == "train").to_numpy())
    with pytest.raises(BadSplit, match="column split"):
        in_parts(train, ("val", "calibration"))


def test_permuted_patients_and_emptied_values_keep_what_is_filled_in() -> None:
    from covid_xray.training.clinical.clinical_study import emptied, permuted
    from support.patients import rows

    data = rows()
    known = ~np.isnan(data.clinical)
    assert np.array_equal(~np.isnan(emptied(data).clinical), known)
    assert len(np.unique(emptied(data).clinical[known[:, 0], 0])) == 1
    other = permuted(data, seed=1).clinical
    assert (~np.isnan(other)).sum() == known.sum()
    assert not np.array_equal(np.nan_to_num(other), np.nan_to_num(data.clinical))
