"""Several bundles give one answer: mean and spread of their probabilities, and none where they disagree."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.errors import UsageError
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.networks.ensemble import combine
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.site.close_call import settle
from support.bundles import CLASSES, grey, make_bundle, network
from support.sites import make_site_file


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three networks: one is less certain, and one has another input size."""
    root = tmp_path_factory.mktemp("bundles")
    sharp, size = network(sharpness=0.1), {"size": 32, "model": network(size=32, sharpness=0.3)}
    return [make_bundle(root / "a"), make_bundle(root / "b", model=sharp, name="soft"), make_bundle(root / "c", **size)]


@pytest.fixture(scope="module")
def together(folders: list[Path]) -> Predictor:
    return Predictor(folders, threads=1)


def test_the_answer_is_the_mean_and_the_spread_of_the_members(together: Predictor, folders: list[Path]) -> None:
    for label in CLASSES:
        film = Radiograph(grey(label))
        alone = [Predictor(folder, threads=1).predict(film).probabilities for folder in folders]
        rows = np.array([list(one.values()) for one in alone])
        found = together.predict(film)
        assert found.label == label
        np.testing.assert_allclose(list(found.probabilities.values()), rows.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(list(found.spread.values()), rows.std(axis=0), atol=1e-6)
        assert found.spread[label] > 0.05
        assert Predictor(folders[0], threads=1).predict(film).spread is None


def test_every_member_is_calibrated_before_the_mean(folders: list[Path], tmp_path: Path) -> None:
    warm = make_bundle(tmp_path / "warm", model=network(sharpness=0.2), temperature=3.0)
    film = Radiograph(grey("virus"))
    members = [Predictor(folder, threads=1).predict(film).probabilities["virus"] for folder in (folders[0], warm)]
    found = Predictor([folders[0], warm], threads=1).predict(film)
    assert found.probabilities["virus"] == pytest.approx(np.mean(members))


def test_provenance_names_every_member(together: Predictor, folders: list[Path]) -> None:
    identity = together.predict(Radiograph(grey("covid"))).model
    hashes = [load_bundle(folder).sha256 for folder in folders]
    assert [member.sha256 for member in identity.members] == hashes
    assert identity.sha256 == "+".join(hashes) == together.bundle.sha256
    assert identity.as_dict()["members"][1] == {"name": "soft", "version": "1", "sha256": hashes[1]}
    assert (identity.name, identity.version) == ("small + soft + small", "1 + 1 + 1")
    assert "members" not in Predictor(folders[0], threads=1).identity.as_dict()


def test_an_image_is_read_once_and_made_once_for_members_alike(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, made = Predictor(folders, threads=1), []
    for number, member in enumerate(predictor.members):
        monkeypatch.setattr(
            member, "view", lambda film, view=member.view, n=number: made.append((n, id(film))) or view(film)
        )
    view = predictor.view(Radiograph(grey("covid")))
    assert [number for number, _ in made] == [0, 2]  # the second shares the input of the first
    assert len({film for _, film in made}) == 1
    assert view.others[0] is not view.others[1]
    assert [one.pixels.shape for one in (view, *view.others)] == [(24, 24), (24, 24), (32, 32)]


def test_members_that_disagree_give_no_answer(folders: list[Path], tmp_path: Path) -> None:
    """A member that takes bright for dark: each is certain, and the mean would be a coin."""
    contrary = make_bundle(tmp_path / "contrary", model=network(sharpness=-1))
    found = Predictor([folders[0], contrary], threads=1).predict(Radiograph(grey("covid")))
    assert found.label == CANNOT_SAY
    assert found.reasons == ("the probabilities do not tell covid from normal",)
    assert found.prediction_set is None  # neither has been calibrated for sets


def test_the_prediction_set_is_that_of_all_members(folders: list[Path], tmp_path: Path) -> None:
    sets = {"method": "lac", "coverage": 0.9, "quantiles": {"lac": {"0.9": 0.5}}}
    sure = make_bundle(tmp_path / "sure", conformal=sets)
    wide = make_bundle(
        tmp_path / "wide", model=network(sharpness=0.02), conformal={**sets, "quantiles": {"lac": {"0.9": 0.99}}}
    )
    film = Radiograph(grey("covid"))
    found = Predictor([sure, wide], threads=1).predict(film)
    assert Predictor(sure, threads=1).predict(film).prediction_set == ("covid",)
    assert found.prediction_set == Predictor(wide, threads=1).predict(film).prediction_set == CLASSES
    assert (found.label, len(found.reasons)) == (CANNOT_SAY, 1)
    narrow = make_bundle(tmp_path / "narrow", model=network(sharpness=0.5), conformal=sets)
    assert Predictor([sure, narrow], threads=1).predict(film).prediction_set == ("covid",)


def test_thresholds_rule_in_or_out_where_all_members_agree_and_settle_withholds_the_rest(folders: list[Path]) -> None:
    points = [{"rule-out": False, "rule-in": True}, {"rule-out": True, "rule-in": False}]
    findings = [
        Predictor(folder, threads=1).predict(Radiograph(grey("normal"))) for folder in (folders[0], folders[0])
    ]  # fmt: skip
    for finding, one in zip(findings, points, strict=True):
        object.__setattr__(finding, "operating_points", {"covid": one})
    found = combine(findings, model=findings[0].model)
    assert found.operating_points == {"covid": {"rule-out": True, "rule-in": False}}
    assert settle(found).label == CANNOT_SAY  # one member does not rule covid out
    object.__setattr__(findings[1], "operating_points", {"covid": {"rule-out": False, "rule-in": False}})
    assert settle(combine(findings, model=findings[0].model)).label == "normal"


def test_what_one_member_refuses_all_refuse(folders: list[Path], tmp_path: Path) -> None:
    blind = make_bundle(tmp_path / "blind", model=network(sharpness=float("nan")))
    found = Predictor([folders[0], blind], threads=1).predict(Radiograph(grey("covid")))
    assert (found.label, found.reasons) == (CANNOT_SAY, ("the network gave no finite probabilities",))


def test_heat_maps_are_averaged_also_of_other_sizes(together: Predictor) -> None:
    found = together.predict(Radiograph(grey("covid")), class_maps=True)
    assert found.class_maps.shape == (3, 32, 32)
    assert 0.5 < found.class_maps[0].mean() <= 1
    assert not found.class_maps[1:].any()
    assert found.overlay().size[0] > 24


def test_a_stream_keeps_its_order_and_its_failures(together: Predictor) -> None:
    many = [Radiograph(grey(label)) for label in CLASSES * 3]
    answers = list(together.predict_many([*many, b"no image"], batch=4))
    assert [answer.label for answer in answers[:-1]] == list(CLASSES * 3)
    assert answers[-1].code == "not-an-image"


def test_what_does_not_go_together_is_refused(folders: list[Path], tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other", classes=["normal", "covid", "virus"])
    with pytest.raises(UsageError, match="classes of the bundles differ"):
        Predictor([folders[0], other])
    with pytest.raises(UsageError, match="given twice"):
        Predictor([folders[0], folders[1], folders[0]])
    site = make_site_file(tmp_path / "site", folders[0])
    assert Predictor(folders[0], site=site, threads=1).site
    with pytest.raises(UsageError, match="the one bundle that was checked, and 2 were given"):
        Predictor(folders[:2], site=site)


def test_what_only_one_bundle_can_do_is_refused(together: Predictor) -> None:
    finding = together.predict(Radiograph(grey("covid")))
    with pytest.raises(UsageError, match="Clinical values are used with one bundle"):
        together.join(finding, {"age": 63.0})
    with pytest.raises(UsageError, match="no outputs in common"):
        together.run(np.zeros((1, 24, 24), np.uint8))


def test_training_data_of_all_members_are_named(tmp_path: Path) -> None:
    folders = [make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b", model=network(sharpness=2))]
    for folder, sources in zip(folders, ({"home": 5, "away": 2}, {"home": 9}), strict=True):
        record(folder, training_data={"fingerprint": folder.name, "source": sources})
    trained = Predictor(folders, threads=1).bundle.contents.training_data
    assert (trained.fingerprint, trained.source) == ("a+b", {"home": 9, "away": 2})
