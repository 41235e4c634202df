"""The packages of the `[cluster]` extra, imported where they are needed, and a clear word where they are missing."""

import importlib
from typing import Any

from covid_xray.errors import MissingPackage

EXTRA = 'pip install "covid-xray[cluster]"'


def need(module: str) -> Any:
    """The module, imported. Raises `MissingPackage` naming the extra that brings it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # it is there, but something that it needs is not: say that instead
        raise MissingPackage(f"expected {package} to be installed: {EXTRA}") from None
