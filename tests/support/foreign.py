"""Bundles that another program made, or that were altered: how they are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from covid_xray.bundle.bundle import FACTS_FILE
from covid_xray.errors import BadBundle
from covid_xray.files import sha256_bytes, write_json
from covid_xray.inference.predictor import Predictor


def refused(folder: Path) -> BadBundle:
    with pytest.raises(BadBundle) as error:
        Predictor(folder)
    assert error.value.message.endswith(".")
    return error.value


def rewrite(folder: Path, **changes: Any) -> None:
    """Change facts as somebody would who makes bundles with another program: the checksum is right."""
    values = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8")) | changes
    values = {key: value for key, value in values.items() if value is not ... and key != "checksum"}
    digest = sha256_bytes(json.dumps(values, sort_keys=True, ensure_ascii=False).encode())
    write_json(folder / FACTS_FILE, {**values, "checksum": digest})
