"""Import packages of the `[cluster]` extra where they are needed."""

import importlib
from typing import Any

from covid_xray.errors import MissingPackage


def require_module(module: str) -> Any:
    """Import and return a module. Raises `MissingPackage` naming the extra that brings it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # the package is installed, one of its dependencies is not
        raise MissingPackage(f'{package} is not installed. Run: pip install "covid-xray[cluster]"') from None
