"""What is kept of an answer, and the file of a reference."""

import stat
from pathlib import Path

import numpy as np
import pytest

from covid_xray.errors import InputRefused
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.inference.drift.reference import MOST, REFUSED, Observation, Reference, observe
from covid_xray.inference.finding import Failure
from covid_xray.inference.predictor import Predictor
from support.bundles import grey, make_bundle


def test_an_answer_becomes_an_observation_without_its_name(tmp_path: Path) -> None:
    predictor = Predictor(make_bundle(tmp_path / "bundle"))
    film = Radiograph(grey("covid"), source=ImageSource(view="AP", vendor="GE"))
    one = observe(predictor.predict(film))
    assert (one.answer, one.view, one.vendor, one.objections) == ("covid", "AP", "GE", ())
    assert one.ill == pytest.approx(1.0, abs=1e-3)
    assert one.embedding is not None
    assert one.embedding.shape == (2,)
    assert one.figures is not None
    assert observe(Failure("doe.png", "unreadable", "no")).answer == REFUSED


def test_a_reference_is_bounded_drawn_by_chance_and_comes_back_whole(tmp_path: Path) -> None:
    rows = [
        Observation("normal", i / 1000, None, "GE", ("layout",), np.full(3, i, np.float32), np.full(2, i, np.float32))
        for i in range(1000)
    ]
    rows[5:700] = [Observation(REFUSED)] * 695
    drawn = Reference.draw(rows, model_sha256="a" * 64)
    assert (len(drawn.observations), drawn.images) == (MOST, 1000)
    drawn.write(tmp_path / "reference.json")
    assert stat.S_IMODE((tmp_path / "reference.json").stat().st_mode) == 0o600
    read = Reference.read(tmp_path / "reference.json")
    assert (read.model_sha256, read.images) == ("a" * 64, 1000)
    for one, other in zip(read.observations, drawn.observations, strict=True):
        assert (one.answer, one.view, one.vendor, one.objections) == (
            *(other.answer, other.view, other.vendor),
            other.objections,
        )
        assert (one.embedding is None) == (other.embedding is None)
        if one.embedding is not None and other.embedding is not None:
            assert np.allclose(one.embedding, other.embedding)
            assert one.ill == pytest.approx(other.ill)


def test_findings_and_failures_make_a_reference(tmp_path: Path) -> None:
    predictor = Predictor(make_bundle(tmp_path / "bundle"))
    answers = [*predictor.predict_many([Radiograph(grey("normal"))] * 3), Failure("x", "unreadable", "no")]
    made = Reference.from_findings(answers, model_sha256=predictor.identity.sha256)
    assert [one.answer for one in made.observations] == ["normal"] * 3 + [REFUSED]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": "covid-xray-drift-1"}', b"\xff"])
def test_another_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(InputRefused, match="x.json holds no drift reference") as error:
        Reference.read(tmp_path / "x.json")
    assert error.value.code == "bad-drift"
    with pytest.raises(InputRefused, match="No such file"):
        Reference.read(tmp_path / "none.json")


def test_parts_are_merged_each_image_standing_for_its_part() -> None:
    def part(answer: str, kept: int, images: int) -> Reference:
        return Reference("a" * 64, tuple([Observation(answer)] * kept), images)

    merged = Reference.merge([part("normal", 300, 900), part("covid", 300, 100), part("", 0, 0)])
    assert (len(merged.observations), merged.images) == (MOST, 1000)
    assert sum(one.answer == "covid" for one in merged.observations) < 90  # 150 without weights
    assert Reference.merge([part("", 0, 0)]).observations == ()
