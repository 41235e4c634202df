"""The exceptions that covid-xray raises on purpose, and what each means to a shell, an HTTP client and a DICOM peer.

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

Messages are safe to show and to log: they say what was expected and what was received, and never hold
pixel data, DICOM values or the text of a decoder's own exception.
"""


class CovidXrayError(Exception):
    """Root of the tree. `code` is a stable slug for programs, `message` a sentence for people."""

    exit_code = 1
    http_status = 500
    dicom_status = 0x0110
    default_code = "failed"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code


class UsageError(CovidXrayError):
    """The command, option or setting itself is wrong."""

    exit_code = 2
    http_status = 400
    default_code = "usage"


class InputRefused(CovidXrayError):
    """The command is fine, what it was given is not."""

    exit_code = 3
    http_status = 422
    dicom_status = 0xC000
    default_code = "input-refused"


class BadImage(InputRefused):
    """Bytes that cannot be made into one grey radiograph. The code says which rule they broke."""

    dicom_status = 0xC210
    default_code = "bad-image"


class BadManifest(InputRefused):
    """A table or folder that does not describe a usable data set."""

    default_code = "bad-manifest"


class BadSplit(InputRefused):
    """A split that is impossible, or that puts one patient or radiograph on two sides."""

    default_code = "bad-split"


class BadBundle(InputRefused):
    """A bundle that is missing, altered or not of this format. It never answers."""

    http_status = 503
    dicom_status = 0x0110
    default_code = "bad-bundle"


class PartlyDone(CovidXrayError):
    """The work went on to its end, but some items failed; each is named where the results are."""

    exit_code = 4
    http_status = 207
    dicom_status = 0xB000
    default_code = "partly-done"


class Busy(CovidXrayError):
    """Somebody else holds the folder or the queue. `retry_after`: seconds after which another try makes sense."""

    http_status = 503
    dicom_status = 0xA700
    default_code = "busy"
    retry_after: int | None = None

    def __init__(self, message: str, *, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after if retry_after is not None else type(self).retry_after


class TooOften(Busy):
    """One client asks more often than it may."""

    http_status = 429
    default_code = "too-often"
    retry_after = 1


class StoreFull(CovidXrayError):
    """The disk or the quota of the store is full; nothing was stored."""

    http_status = 507
    dicom_status = 0xA700
    default_code = "store-full"


class TooSlow(CovidXrayError):
    """What was being sent did not arrive in time; nothing was stored."""

    http_status = 408
    default_code = "too-slow"


class NotFound(CovidXrayError):
    """There is nothing under this name or number, or no longer."""

    exit_code = 3
    http_status = 404
    default_code = "not-found"


class NotAllowed(CovidXrayError):
    """Who asks is known, or need not be, but may not do this."""

    exit_code = 2
    http_status = 403
    dicom_status = 0x0124
    default_code = "not-allowed"


class NotLoggedIn(NotAllowed):
    """Who asks must say who they are first."""

    http_status = 401
    default_code = "not-logged-in"


class MissingPackage(CovidXrayError):
    """An optional package is not installed; the message names the extra that brings it."""

    http_status = 501
    default_code = "missing-package"
