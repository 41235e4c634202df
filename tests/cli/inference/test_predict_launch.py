"""Options that do not go together are refused before anything is read; the network is looked for where it should be."""

from pathlib import Path

import pytest

from covid_xray.bundle.bundle import DEFAULT
from covid_xray.cli.inference.predict_args import PredictRequest
from covid_xray.cli.inference.predict_launch import _network, predict
from covid_xray.errors import UsageError


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (PredictRequest(("a.png",), json=True, csv=True), "exclude each other"),
        (PredictRequest(("a.png",), heatmap=True), "--heatmap needs a results folder"),
        (PredictRequest(("a.png",), resume=True), "--resume needs a results folder"),
    ],
)
def test_options_that_do_not_go_together_are_refused(job: PredictRequest, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predict(job)


def test_the_network_is_that_of_the_bundle_or_of_the_one_that_ships(tmp_path: Path) -> None:
    assert _network(None, int8=False) == DEFAULT / "model.onnx"
    assert _network(None, int8=False).is_file()
    assert _network(tmp_path, int8=True) == tmp_path / "model_int8.onnx"
