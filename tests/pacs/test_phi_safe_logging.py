"""Nothing that a library says of a file gets out of the block."""

import logging
import threading
import warnings

import pydicom
import pytest

from covid_xray.errors import BadImage
from covid_xray.pacs.phi_safe_logging import log_thread_failures, suppress_phi
from covid_xray.pacs.source_object import NoResult


@pytest.fixture(autouse=True)
def usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """pydicom's checks as a process begins with them: one switch for all, which other tests flip beside their nodes."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.WARN)


def tell_all() -> None:
    warnings.warn("CANARY", stacklevel=1)
    for name in ("highdicom", "pynetdicom", "pydicom", "dicomweb_client"):
        logging.getLogger(f"{name}.part").error("CANARY")
    raise KeyError("CANARY")


def test_warnings_log_lines_and_exceptions_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BadImage) as refusal, suppress_phi("sound tags"):
        tell_all()
    error = refusal.value
    assert error.code == "unusable-tags"
    assert "CANARY" not in f"{error} {error.__cause__} {caplog.text}"
    assert error.__suppress_context__  # so that no traceback shows it
    assert "KeyError" in error.message


def test_our_own_exceptions_pass(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NoResult, match="ours"), suppress_phi("sound tags"):
        raise NoResult("ours")


def test_values_beyond_the_standard_pass_inside_and_not_outside() -> None:
    with suppress_phi("sound tags"):
        dataset = pydicom.Dataset()
        dataset.PatientID = "x" * 100
    assert dataset.PatientID == "x" * 100
    assert pydicom.config.settings.reading_validation_mode == pydicom.config.WARN


def test_blocks_that_overlap_leave_the_checks_as_they_were() -> None:
    first, second = suppress_phi("sound tags"), suppress_phi("sound tags")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # as in two threads: the one that came first goes first
    assert pydicom.config.settings.reading_validation_mode == pydicom.config.IGNORE
    second.__exit__(None, None, None)
    assert pydicom.config.settings.reading_validation_mode == pydicom.config.WARN


def test_a_thread_that_ends_by_an_exception_is_named_by_its_type(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # put back after the test
    log_thread_failures()
    thread = threading.Thread(target=tell_all)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread.start()
        thread.join()
    assert "a thread ended (KeyError)" in caplog.text
    assert "CANARY" not in "".join(record.getMessage() for record in caplog.records if record.name == "covid_xray.pacs")
    assert "CANARY" not in "".join(capfd.readouterr())
