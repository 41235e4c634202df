"""From a bundle and a table to a bundle with a clinical input: its own answers stay, the study says what is gained."""

import json

import pytest
from typer.testing import CliRunner

from covid_xray.bundle.bundle import load_bundle, networks, write_bundle
from covid_xray.cli import app
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadBundle, BadSplit, InputRefused
from covid_xray.inference.predictor import Predictor


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
    assert csv[0].endswith("joint_reasons,known,unused,contributions,warnings")
    shown = CliRunner().invoke(app, [*command, "--age", "70"]).stdout
    assert "with clinical values" in shown


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


def test_a_table_without_unseen_parts_is_refused(drawn) -> None:
    from covid_xray.training.clinical.fuse import in_parts

    manifest = read_manifest(drawn[1], check=False)
    assert in_parts(manifest, ("val", "test")).sum() == len(manifest.table) / 2
    train = manifest.take((manifest.table["split"] == "train").to_numpy())
    with pytest.raises(BadSplit, match="column split"):
        in_parts(train, ("val", "calibration"))
