"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=os.environ.get("COVID_XRAY_DATA"), help="folder of the real radiographs")


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--data")
    if not folder or not (Path(folder) / "metadata.csv").is_file():
        pytest.skip("the real radiographs are not here: give their folder with --data")
    return Path(folder)
