"""A folder in which the examples of docstrings and pages run."""

from pathlib import Path

import pytest

from support.sandboxes import make_sandbox


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sandbox(tmp_path_factory.mktemp("sandbox"))
