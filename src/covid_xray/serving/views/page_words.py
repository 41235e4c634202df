"""List the messages that the scripts of the pages show; the layout carries them in the language of the reader."""

from collections.abc import Mapping

from covid_xray.serving.views.languages import mark

WORDS: Mapping[str, str] = {
    "busy": mark("The server is busy; waiting"),
    "classifying": mark("Classifying"),
    "count": mark("%(done)s of %(total)s done"),
    "count-passed": mark("%(passed)s passed over"),
    "count-refused": mark("%(failed)s refused"),
    "every-pixel": mark("every pixel"),
    "inverted": mark("inverted"),
    "loading": mark("loading every pixel"),
    "log-in": mark("Log in"),
    "millimetres": mark("%(length)s mm, as the file states its pixels; not corrected for magnification."),
    "no-server": mark("The server does not answer."),
    "pixels": mark("%(length)s pixels. The file does not state their size in mm."),
    "refused-file": mark("The server refused the file."),
    "refused-request": mark("The server refused this request. Reload the page and try again."),
    "sending": mark("Sending, %(percent)s %%"),
    "session-ended": mark("Your session has ended. What you wrote is kept in this tab."),
}
