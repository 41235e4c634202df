"""The command wrap, and that its bundle is evaluated as ours are."""

import json
from pathlib import Path

from covid_xray.errors import UsageError
from support.commands import call, refused
from support.datasets import draw_folders
from support.foreign_networks import densenet


def test_a_wrapped_network_is_calibrated_and_evaluated(tmp_path: Path) -> None:
    data, model = draw_folders(tmp_path / "data", each=30), densenet(tmp_path / "xrv.onnx")
    result = call("wrap", model, "--classes", "covid,normal,virus", "--layer", "/features/Relu_output_0",
                  "--range=-1024,1024", "--data", data, "-o", tmp_path / "xrv")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "temperature" in result.output
    assert f"next: covid-xray evaluate {tmp_path / 'xrv'} --data {data}" in result.output
    result = call("evaluate", tmp_path / "xrv", "--data", data, "--rounds", 20)
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "xrv" / "metrics.json").read_text())
    tested = (tmp_path / "xrv" / "split.csv").read_text().count(",test,")
    assert (metrics["part"], metrics["n_images"]) == ("test", tested)
    assert call("predict", data / "covid" / "covid-00.png", "--bundle", tmp_path / "xrv").exit_code == 0
    assert call("selftest", "--bundle", tmp_path / "xrv").exit_code == 0


def test_without_data_it_says_what_is_missing(tmp_path: Path) -> None:
    result = call("wrap", densenet(tmp_path / "a.onnx"), "--classes", "a,b,c", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "not calibrated" in result.output


def test_wrong_numbers(tmp_path: Path) -> None:
    model = densenet(tmp_path / "a.onnx")
    said = refused(UsageError, "wrap", model, "--classes", "a,b,c", "-o", tmp_path / "out", "--range", "black,white")
    assert "--range" in said
