"""Define the exceptions of covid-xray with their exit codes, HTTP statuses and DICOM statuses.

    CovidXrayError              exit 1   HTTP 500   DICOM 0x0110 processing failure
    ├── UsageError              exit 2   HTTP 400   DICOM 0x0110
    ├── InputRefused            exit 3   HTTP 422   DICOM 0xC000 cannot understand
    │   ├── BadImage            exit 3   HTTP 422   DICOM 0xC210 undecodable
    │   ├── BadManifest         exit 3   HTTP 422   DICOM 0xC000
    │   ├── BadSplit            exit 3   HTTP 422   DICOM 0xC000
    │   └── BadBundle           exit 3   HTTP 503   DICOM 0x0110
    ├── PartlyDone              exit 4   HTTP 207   DICOM 0xB000 warning
    ├── Busy                    exit 1   HTTP 503   DICOM 0xA700 out of resources
    │   └── TooOften            exit 1   HTTP 429   DICOM 0xA700
    ├── StoreFull               exit 1   HTTP 507   DICOM 0xA700
    ├── TooSlow                 exit 1   HTTP 408   DICOM 0x0110
    ├── NotFound                exit 3   HTTP 404   DICOM 0x0110
    ├── NotAllowed              exit 2   HTTP 403   DICOM 0x0124 refused: not authorised
    │   └── NotLoggedIn         exit 2   HTTP 401   DICOM 0x0124
    └── MissingPackage          exit 1   HTTP 501   DICOM 0x0110

A message names the problem, then what is accepted, then what to do. It is safe to show and to log: it never holds
pixel data, DICOM values or the text of a decoder's own exception.
"""

from collections.abc import Iterable


class CovidXrayError(Exception):
    """Base class of all errors: `code` is a stable slug for programs, `message` a sentence for people."""

    exit_code = 1
    http_status = 500
    dicom_status = 0x0110
    default_code = "failed"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code


class UsageError(CovidXrayError):
    """A command, option or setting is wrong."""

    exit_code = 2
    http_status = 400
    default_code = "usage"


class InputRefused(CovidXrayError):
    """An input file or value is not acceptable."""

    exit_code = 3
    http_status = 422
    dicom_status = 0xC000
    default_code = "input-refused"


class BadImage(InputRefused):
    """The bytes cannot be decoded into one grey radiograph; `code` says why."""

    dicom_status = 0xC210
    default_code = "bad-image"


class BadManifest(InputRefused):
    """A table or folder does not describe a usable data set."""

    default_code = "bad-manifest"


class BadSplit(InputRefused):
    """A split is impossible, or puts one patient or radiograph into two parts."""

    default_code = "bad-split"


class BadBundle(InputRefused):
    """A bundle is missing, altered or of another format, and must not be used for predictions."""

    http_status = 503
    dicom_status = 0x0110
    default_code = "bad-bundle"


class PartlyDone(CovidXrayError):
    """The work was finished, but some items failed; each is named in the results."""

    exit_code = 4
    http_status = 207
    dicom_status = 0xB000
    default_code = "partly-done"


class Busy(CovidXrayError):
    """The folder or the queue is in use. `retry_after`: seconds to wait before another try."""

    http_status = 503
    dicom_status = 0xA700
    default_code = "busy"
    retry_after: int | None = None

    def __init__(self, message: str, *, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after if retry_after is not None else type(self).retry_after


class TooOften(Busy):
    """One client sent more requests than its rate limit allows."""

    http_status = 429
    default_code = "too-often"
    retry_after = 1


class StoreFull(CovidXrayError):
    """The disk or the store's quota is full; nothing was stored."""

    http_status = 507
    dicom_status = 0xA700
    default_code = "store-full"


class TooSlow(CovidXrayError):
    """The request body did not arrive in time; nothing was stored."""

    http_status = 408
    default_code = "too-slow"


class NotFound(CovidXrayError):
    """The requested item does not exist, or no longer."""

    exit_code = 3
    http_status = 404
    default_code = "not-found"


class NotAllowed(CovidXrayError):
    """The caller has no permission for this action."""

    exit_code = 2
    http_status = 403
    dicom_status = 0x0124
    default_code = "not-allowed"


class NotLoggedIn(NotAllowed):
    """The caller must authenticate first."""

    http_status = 401
    default_code = "not-logged-in"


class MissingPackage(CovidXrayError):
    """An optional package is not installed; the message names the extra that installs it."""

    http_status = 501
    default_code = "missing-package"


def closest(name: str, accepted: Iterable[str]) -> str | None:
    """Return the one of `accepted` that is most like `name`, upper and lower case being equal; None if none is."""
    import difflib

    folded = {each.casefold(): each for each in accepted}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[close[0]] if close else None


def did_you_mean(name: str, accepted: Iterable[str]) -> str:
    """Return " Did you mean X?" for the closest of `accepted`, or "" when no name is close."""
    close = closest(name, accepted)
    return f" Did you mean {close}?" if close else ""
