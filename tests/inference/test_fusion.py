"""The fusion network: what values tell is learned, what is filled in is not, and ONNX Runtime says what Keras says."""

from dataclasses import replace

import numpy as np
import pytest

from covid_xray import clinical
from covid_xray.bundle.bundle import load_bundle
from covid_xray.bundle.fusion_network import FusionNetwork
from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.errors import BadBundle, InputRefused, UsageError
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.fusion import Fusion
from covid_xray.inference.predictor import Predictor
from support.bundles import CLASSES, make_bundle
from support.patients import AGE, SEX, SPO2, rows


def fitted(data, **recipe):
    from covid_xray.training.clinical.fusion_training import Recipe, fit

    return fit(data, Recipe(**recipe))


def joint(model, data) -> np.ndarray:
    return np.asarray(model(data.inputs)["joint_probabilities"], np.float64)


def nll(data, p: np.ndarray) -> float:
    return compute(data.labels, p / p.sum(axis=1, keepdims=True), CLASSES)["nll"]


@pytest.fixture(scope="module")
def telling():
    """A network trained on patients whose age tells, and other such patients."""
    return fitted(rows(seed=1)), rows(seed=2)


@pytest.fixture(scope="module")
def opened(telling) -> Fusion:
    from covid_xray.training.clinical.fuse import field_facts
    from covid_xray.training.clinical.fusion_training import to_fusion_onnx

    model, data = telling
    onnx, parity = to_fusion_onnx(model, data)
    assert max(parity.values()) < 1e-5
    facts = {"fields": field_facts(data, CLASSES), "conformal": None}
    return Fusion(FusionNetwork(onnx, facts), classes=CLASSES)


def test_values_that_tell_lower_the_loss_on_other_patients(telling) -> None:
    model, data = telling
    assert nll(data, joint(model, data)) < nll(data, data.probabilities.astype(np.float64)) - 0.1


def test_permuting_the_patients_values_lowers_the_joint_score_to_that_of_the_image() -> None:
    from covid_xray.training.clinical.clinical_study import permuted

    train, test = rows(seed=1), rows(seed=2)
    alone = nll(test, test.probabilities.astype(np.float64))
    true = nll(test, joint(fitted(train), test))
    swapped = nll(test, joint(fitted(permuted(train, seed=3)), permuted(test, seed=4)))
    assert true < alone - 0.1
    assert swapped == pytest.approx(alone, abs=0.03)
    assert nll(test, joint(fitted(train), permuted(test, seed=4))) > true + 0.1


def test_what_is_filled_in_cannot_speak_for_a_class() -> None:
    """Ages of one distribution, stated mostly of covid; SpO2 of covid only. The usual design gains, ours does not."""
    train, test = rows(seed=1, tells=False, leak=True), rows(seed=2, tells=False, leak=True)
    alone = nll(test, test.probabilities.astype(np.float64))
    model = fitted(train)
    assert nll(test, joint(fitted(train, naive=True), test)) < alone - 0.2
    assert nll(test, joint(model, test)) == pytest.approx(alone, abs=0.03)
    terms = np.asarray(model(test.inputs)["terms"])
    assert np.abs(terms[:, SPO2]).max() == 0


def test_a_field_moves_nothing_on_average(telling) -> None:
    """Over training values with every class counted the same, the sum that a field adds is 0 for any picture."""
    from covid_xray.training.clinical.fusion_training import basis_of

    train = rows(seed=1)
    model = fitted(train)
    known = ~np.isnan(train.clinical[:, AGE]) & (train.labels < 2)
    terms = np.asarray(model(train.take(known).inputs)["terms"])[:, AGE]
    embedding = np.broadcast_to(train.embedding[:1], train.embedding.shape)
    same = np.asarray(model(replace(train, embedding=embedding).take(known).inputs)["terms"])[:, AGE]
    means = [same[train.labels[known] == code].mean(axis=0) for code in (0, 1)]
    assert np.abs(np.mean(means, axis=0)).max() < 1e-5
    assert np.abs(terms[:, 2]).max() == 0  # of virus no age is stated
    assert terms.sum(axis=1) == pytest.approx(0, abs=1e-5)
    assert basis_of(train).used[AGE].tolist() == [True, True, False]


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


def test_a_field_without_patients_of_two_classes_is_refused() -> None:
    from covid_xray.training.clinical.fusion_training import fit

    data = rows(seed=1)
    alone = replace(data, clinical=np.where(data.labels[:, None] == 0, data.clinical, np.nan).astype(np.float32))
    with pytest.raises(InputRefused, match="20 patients of two classes"):
        fit(alone)


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
    opened.conformal = {"method": "lac", "coverage": 0.9, "quantiles": {"lac": {"0.9": 1.0}}}
    answer = opened.join(finding, {"age": 80.0}).joint
    opened.conformal = None
    assert answer.label == CANNOT_SAY
    assert answer.prediction_set == CLASSES
    assert "do not tell" in answer.reasons[0]


def test_fields_that_do_not_exist_and_bundles_without_input_are_refused(tmp_path, opened: Fusion) -> None:
    predictor = Predictor(make_bundle(tmp_path / "b"))
    finding = predictor.answers(["a"], np.full((1, 24, 24), 128, np.uint8))[0]
    with pytest.raises(UsageError, match="'weight'"):
        opened.join(finding, {"weight": 70.0})
    with pytest.raises(UsageError, match="covid-xray fuse"):
        predictor.join(finding, {"age": 63.0})


def test_a_graph_of_other_fields_is_refused(opened: Fusion, telling) -> None:
    from covid_xray.training.clinical.fuse import field_facts
    from covid_xray.training.clinical.fusion_training import to_fusion_onnx

    onnx, _ = to_fusion_onnx(*telling)
    fields = field_facts(telling[1], CLASSES)
    for facts in ({"fields": fields[:3]}, {"fields": fields}):
        data = onnx if len(facts["fields"]) == 3 else b"no graph"
        with pytest.raises(BadBundle, match=r"fusion\.onnx"):
            Fusion(FusionNetwork(data, facts), classes=CLASSES)
    assert opened.fields == NAMES
    assert SEX == 1


def test_a_bundle_without_a_clinical_input_loads_as_before(tmp_path) -> None:
    assert load_bundle(make_bundle(tmp_path / "b")).fusion is None
