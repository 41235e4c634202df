"""The fusion network: what values tell is learned, what is filled in is not, and ONNX Runtime says what Keras says."""

from dataclasses import replace

import numpy as np
import pytest

from covid_xray import clinical
from covid_xray.bundle.contents import Conformal, FusionFacts, read_as
from covid_xray.bundle.fusion_network import FusionNetwork
from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.errors import BadBundle, UsageError
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.fusion import Fusion
from covid_xray.inference.predictor import Predictor
from support.bundles import CLASSES, make_bundle
from support.patients import SEX, fitted, rows


@pytest.fixture(scope="module")
def telling():
    """A network trained on patients whose age tells, and other such patients."""
    return fitted(rows(seed=1)), rows(seed=2)


def described(fields: list[dict]) -> FusionFacts:
    return read_as(FusionFacts, {"version": 1, "model_sha256": "ab", "fields": fields}, "fusion")


@pytest.fixture(scope="module")
def opened(telling) -> Fusion:
    from covid_xray.training.clinical.fuse import field_facts
    from covid_xray.training.clinical.fusion_training import to_fusion_onnx

    model, data = telling
    onnx, parity = to_fusion_onnx(model, data)
    assert max(parity.values()) < 1e-5
    return Fusion(FusionNetwork(onnx, described(field_facts(data, CLASSES))), classes=CLASSES)


@pytest.mark.parametrize("seed", range(4))
def test_any_subset_of_the_fields_gives_a_valid_answer(opened: Fusion, seed: int) -> None:
    data = rows(seed=2)
    random = np.random.default_rng(seed)
    values = np.array([[random.uniform(f.low, f.high) for f in clinical.FIELDS] for _ in data.labels], np.float32)
    values[random.random(values.shape) < random.random((len(values), 1))] = np.nan
    p, terms = opened.run(data.probabilities, data.embedding, values)
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (p >= 0).all()
    assert not terms[np.isnan(values)].any()


def test_nothing_known_is_the_answer_of_the_image_to_the_last_bit(opened: Fusion) -> None:
    data = rows(seed=2)
    p, terms = opened.run(data.probabilities, data.embedding, np.full_like(data.clinical, np.nan))
    assert np.array_equal(p, data.probabilities)
    assert not terms.any()


def test_a_finding_keeps_its_own_answer_beside_the_joint_one(tmp_path, opened: Fusion) -> None:
    predictor = Predictor(make_bundle(tmp_path / "b"))
    finding = replace(predictor.answers(["a"], np.full((1, 24, 24), 128, np.uint8))[0], embedding=rows().embedding[0])
    known = clinical.record({"age": 80, "spo2": 61, "fever": True})
    both = opened.join(finding, known)
    assert both.probabilities == finding.probabilities
    assert both.label == finding.label
    assert both.joint.probabilities["covid"] > finding.probabilities["covid"]
    assert list(both.joint.contributions) == ["age"]
    moved = {name: sum(by[name] for by in both.joint.contributions.values()) for name in CLASSES}
    assert moved == pytest.approx(
        {name: both.joint.probabilities[name] - p for name, p in finding.probabilities.items()}, abs=1e-5
    )
    assert set(both.joint.unused) == {"spo2", "fever"}
    assert "mmHg" in both.joint.remarks[0]


def test_what_the_gate_refuses_has_no_joint_label_either(tmp_path, opened: Fusion) -> None:
    predictor = Predictor(make_bundle(tmp_path / "b"))
    finding = replace(predictor.answers(["a"], np.full((1, 24, 24), 128, np.uint8))[0], embedding=rows().embedding[0])
    opened.conformal = Conformal("lac", 0.9, {"lac": {"0.9": 1.0}})
    answer = opened.join(finding, {"age": 80.0}).joint
    opened.conformal = None
    assert answer.label == CANNOT_SAY
    assert answer.prediction_set == CLASSES
    assert "do not tell" in answer.reasons[0]


def test_where_the_network_is_not_fit_clinical_values_change_nothing(tmp_path, opened: Fusion) -> None:
    predictor = Predictor(make_bundle(tmp_path / "b"))
    finding = replace(predictor.answers(["a"], np.full((1, 24, 24), 128, np.uint8))[0], embedding=rows().embedding[0])
    answer = opened.join(finding, {"age": 80.0}, site=("not fit at A",)).joint
    assert (answer.label, answer.reasons[0]) == (CANNOT_SAY, "not fit at A")


def test_fields_that_do_not_exist_and_bundles_without_input_are_refused(tmp_path, opened: Fusion) -> None:
    predictor = Predictor(make_bundle(tmp_path / "b"))
    finding = predictor.answers(["a"], np.full((1, 24, 24), 128, np.uint8))[0]
    with pytest.raises(UsageError, match="No such clinical field: weight"):
        opened.join(finding, {"weight": 70.0})
    with pytest.raises(UsageError, match="covid-xray fuse"):
        predictor.join(finding, {"age": 63.0})


def test_a_graph_of_other_fields_is_refused(opened: Fusion, telling) -> None:
    from covid_xray.training.clinical.fuse import field_facts
    from covid_xray.training.clinical.fusion_training import to_fusion_onnx

    onnx, _ = to_fusion_onnx(*telling)
    fields = field_facts(telling[1], CLASSES)
    for chosen, data in ((fields[:3], onnx), (fields, b"no graph")):
        with pytest.raises(BadBundle, match=r"fusion\.onnx"):
            Fusion(FusionNetwork(data, described(chosen)), classes=CLASSES)
    assert opened.fields == NAMES
    assert SEX == 1
