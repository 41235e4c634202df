"""Say in the reader's language what stored findings say in English: reasons, checks, lungs, site and class names."""

import re
from collections.abc import Mapping, Sequence

from babel.lists import format_list

from covid_xray.inference.finding import NOT_CHECKED, SiteCheck
from covid_xray.serving.views.languages import current, decimal, gettext, mark

NAMES = {
    "covid": mark("COVID-19"),
    "virus": mark("Viral pneumonia"),
    "normal": mark("Normal"),
    "cannot say": mark("Cannot say"),
    "refused": mark("Refused"),
    "other": mark("Other finding, or none of these"),
}
SITE_VERDICTS = {
    "fit": mark("checked at %(name)s: fit"),
    "fit-with-site-threshold": mark("checked at %(name)s: fit with the threshold of this hospital"),
    "not-fit": mark("checked at %(name)s: not fit"),
}
# Sentences without a part that changes; a test compares them with what the checks say.
_FIXED = (
    mark("the network gave no finite probabilities"),
    mark("not checked at this hospital"),
    mark("the lungs were not found, and this network looks at nothing else"),
    mark("lungs were not found"),
    mark("looks blank: it has hardly any contrast"),
    mark("looks like a drawing, text or mask: most of it is its darkest or brightest grey"),
    mark("has an odd shape for a chest X-ray: much too wide"),
    mark("has an odd shape for a chest X-ray: much too narrow"),
    mark("looks inverted (MONOCHROME1?): lungs bright, bones dark"),
    mark("looks upside down"),
    mark("looks turned by 90 degrees"),
    mark("looks like a part of a chest X-ray: some of the lungs is cut off or missing"),
    mark("does not look like a frontal chest X-ray"),
    mark("unlike the training images, by the network's features"),
    mark("SpO2 below 70 % is rare: is it the oxygen pressure (PaO2) in mmHg?"),
    mark("Age below one year is rare: is it in years?"),
    # Refusals that readers and admins meet.
    mark(
        "This password is easy to guess: it is common, repeats itself or holds the user's name. Use another one; a few "
        "unrelated words in a row are fine."
    ),
    mark(
        "Invalid user name. Use up to 64 letters, digits and . _ @ -, beginning with a letter or digit; 'local', "
        "'token', 'server' and 'unknown' are reserved."
    ),
    mark("The first user must be an admin, since from then on everybody must log in."),
    mark("You cannot remove yourself. Ask another admin."),
    mark("Change your own password on the page of your account."),
    mark("No such user. `covid-xray user list` shows all names."),
    mark("Wrong name or password."),
    mark("The current password is wrong."),
    mark("This user logs in by OpenID Connect. Change the password there."),
    mark("Too many failed log-ins. Wait, or ask an admin to unlock the account."),
    mark("Log in as a user to do this; a token cannot."),
    mark("Log-in with a password is switched off. Log in by OpenID Connect."),
    mark("This server has no OpenID provider. Log in with a password."),
    mark("The OpenID provider does not answer. Try again later, or log in with a password."),
    mark("The provider's answer is invalid. Try again, or look into the provider's log."),
    mark("Your account is in no group that may log in here. Ask an admin."),
    mark("The log-in took too long or began in another browser. Log in again."),
    mark("Only an admin may do this. Ask an admin, or log in as one."),
    mark("Authentication required. Log in, or send a bearer token."),
    mark("The request does not come from a page of this server. Reload the page and try again."),
    mark("No such study: the id is wrong, or the study was deleted or has expired."),
    mark("No such study: it was deleted, and undoing is over after half a minute."),
    mark("No such job: the id is wrong, or the job has expired."),
    mark("No such refused file: it was dealt with or has expired."),
    mark("No such token. `covid-xray user tokens` lists all."),
    mark("The image of this study has been deleted."),
    mark("The request cannot be answered: not found."),
    mark("The server failed on this request; its log says where. Try again."),
    mark("The database of the users cannot be read. Try again later, or look into the log."),
)
# Names of clinical fields and units, and of what drift is compared with; they are translated where they are shown.
_NAMES = (
    *(mark("age"), mark("sex"), mark("temperature"), mark("SpO2"), mark("days since onset"), mark("leukocytes")),
    *(mark("neutrophils"), mark("lymphocytes"), mark("supplemental oxygen"), mark("fever"), mark("cough")),
    *(mark("shortness of breath"), mark("fatigue"), mark("loss of smell"), mark("diarrhoea"), mark("years")),
    *(mark("degrees Celsius"), mark("percent"), mark("days"), mark("F"), mark("M")),
    *(mark("appearance"), mark("prevalence"), mark("commissioning"), mark("first images"), mark("last month")),
)
_CLASSES, _NAME = r"(?P<classes>.+)", r"(?P<name>.+)"
# Sentences with a part that changes: groups `a`, `b` are classes, `classes` several of them, the others stay.
_PATTERNS = tuple(
    (re.compile(pattern), message)
    for pattern, message in (
        (rf"the probabilities do not tell {_CLASSES}", mark("the probabilities do not tell these apart: %(classes)s")),
        (
            r"close call: (?P<a>.+) is too improbable for the prediction set",
            mark("%(a)s is the most probable answer, but too improbable for the prediction set"),
        ),
        (
            r"close call: (?P<a>.+) is the most probable class, but not ruled in",
            mark("%(a)s is the most probable answer, but not ruled in"),
        ),
        (
            r"close call: (?P<a>.+) is the most probable class, but (?P<b>.+) is not ruled out",
            mark("%(a)s is the most probable answer, but %(b)s is not ruled out"),
        ),
        (
            rf"the lungs look ill, but not with {_CLASSES}, the illnesses that this network knows",
            mark("the lungs look ill, but not with an illness that this network knows (%(classes)s)"),
        ),
        (rf"not fit at {_NAME}", mark("the network is not fit for %(name)s")),
        (
            rf"the check at {_NAME} ended on (?P<day>.+)",
            mark("the check of the network at %(name)s ended on %(day)s"),
        ),
        (
            r"Password too short\. Use at least (?P<count>\d+) characters; a few words in a row are fine\.",
            mark("Password too short. Use at least %(count)s characters; a few words in a row are fine."),
        ),
        (
            rf"User {_NAME} already exists\. Choose another name\.",
            mark("User %(name)s already exists. Choose another name."),
        ),
        (
            rf"{_NAME} is the last admin and cannot be removed\. Add another admin first\.",
            mark("%(name)s is the last admin and cannot be removed. Add another admin first."),
        ),
        (
            r"Too many requests: at most (?P<count>[\d,]+) per minute\. Try again in (?P<seconds>\d+) s\.",
            mark("Too many requests: at most %(count)s per minute. Try again in %(seconds)s s."),
        ),
        (
            rf"the file says that it is {_NAME}, not a plain radiograph",
            mark("the file says that it is %(name)s, not a plain radiograph"),
        ),
        (
            rf"the file says that the view is {_NAME}, not frontal \(PA or AP\)",
            mark("the file says that the view is %(name)s, not frontal (PA or AP)"),
        ),
    )
)
_SEPARATORS = re.compile(r", | from | or | and ")


def words(text: str) -> str:
    """Translate a stored reason or remark; what is not known stays as it is, in English."""
    for pattern, message in _PATTERNS:
        if found := pattern.fullmatch(text):
            return gettext(message, **{key: _filled(key, value) for key, value in found.groupdict().items()})
    return gettext(text)


def display_name(label: str) -> str:
    """Return the name that readers know for a class, or the class itself."""
    return gettext(NAMES[label]) if label in NAMES else label


def listed(labels: Sequence[str]) -> str:
    """Join the names of classes as the language does: `COVID-19, Normal and Viral pneumonia`."""
    return str(format_list([display_name(label) for label in labels], locale=current().locale))


def site_words(site: SiteCheck | Mapping[str, str] | None) -> str:
    """Say at which hospital the network was checked, and how that ended."""
    if site is None:
        return gettext(NOT_CHECKED)
    facts = site.as_dict() if isinstance(site, SiteCheck) else site
    text = gettext(SITE_VERDICTS.get(facts["verdict"], SITE_VERDICTS["not-fit"]), name=facts["name"])
    if not facts.get("ended"):
        return text
    return gettext("; ").join((text, gettext("that check ended on %(day)s", day=facts["ended"])))


def opacity_words(share: float | None) -> str:
    """Say roughly how much of the lungs is opaque, in steps of 5 %, with a warning; empty for `None`."""
    if share is None:
        return ""
    number = decimal(max(5, 5 * round(20 * share)), digits=0)
    if round(20 * share):
        text = gettext("about %(number)s %% of the lungs look opaque", number=number)
    else:
        text = gettext("under %(number)s %% of the lungs look opaque", number=number)
    return ": ".join((text, gettext("a rough indicator by brightness, no measurement")))


def _filled(key: str, value: str) -> str:
    if key == "classes":
        return listed(_SEPARATORS.split(value))
    return display_name(value) if key in ("a", "b") else value
