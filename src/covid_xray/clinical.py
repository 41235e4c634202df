"""What is known of a patient besides the picture: one table of fields with units and ranges, and the reading of values.

The command line, CSV columns, the API (`clinical_record`) and `bundle.json` all take names, units and ranges from
`FIELDS`. Plain dataclasses and no pydantic, so that a prediction does not wait for it. A value outside its range is
refused, with a guess at the unit that was meant: nothing is ever converted in silence.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from covid_xray.errors import InputRefused, UsageError

ABSENT = {"", "nan", "none", "null", "na", "n/a", "unknown", "?"}
YES, NO = {"y", "yes", "true", "1"}, {"n", "no", "false", "0"}
COUNT = "10^9/L"
COUNT_SPELLINGS = ("10^9/l", "10e9/l", "x10^9/l", "g/l", "k/ul", "k/µl", "/nl")
ROUNDING = 1.05  # the parts of a blood count may exceed the whole by so much


@dataclass(frozen=True)
class Field:
    """One thing that may be known of a patient.

    Args:
        name: key of records, column of tables, and with hyphens the option of `covid-xray predict`.
        title: for people.
        unit: of the value; "" for a yes or no.
        low, high: smallest and largest value that is accepted.
        codes: words and the numbers they stand for; empty for a measured number.
        aliases: other names of the column in tables.
        spellings: ways to write the unit behind the number.
        symptom: whether it is one of `--symptoms`.
    """

    name: str
    title: str
    unit: str
    low: float
    high: float
    codes: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    symptom: bool = False

    @property
    def expected(self) -> str:
        """What a value may be, for messages: `SpO2 in percent, 50 to 100`."""
        if self.codes:
            return f"{self.title} as {' or '.join(_words(self))}"
        return f"{self.title} in {self.unit}, {self.low:g} to {self.high:g}"


_FLAG = {**dict.fromkeys(YES, 1.0), **dict.fromkeys(NO, 0.0)}
_SEX = {"f": 0.0, "female": 0.0, "m": 1.0, "male": 1.0}


def _flag(name: str, title: str, *, symptom: bool = True) -> Field:
    return Field(name, title, "", 0, 1, codes=_FLAG, symptom=symptom)


def _count(name: str, high: float) -> Field:
    return Field(name, name, COUNT, 0.0, high, spellings=COUNT_SPELLINGS)


FIELDS: tuple[Field, ...] = (
    Field("age", "age", "years", 0, 120, spellings=("y", "years", "year")),
    Field("sex", "sex", "", 0, 1, codes=_SEX),
    Field("temperature", "temperature", "degrees Celsius", 32, 43, spellings=("c", "°c", "celsius")),
    Field("spo2", "SpO2", "percent", 50, 100, aliases=("oxygen_saturation",), spellings=("%", "percent")),
    Field("days_since_onset", "days since onset", "days", -30, 365, aliases=("offset_days",), spellings=("d", "days")),
    _count("leukocytes", 100),
    _count("neutrophils", 40),
    _count("lymphocytes", 15),
    _flag("supplemental_o2", "supplemental oxygen", symptom=False),
    _flag("fever", "fever"),
    _flag("cough", "cough"),
    _flag("dyspnoea", "shortness of breath"),
    _flag("fatigue", "fatigue"),
    _flag("loss_of_smell", "loss of smell"),
    _flag("diarrhoea", "diarrhoea"),
)
BY_NAME = {each.name: each for each in FIELDS}
COLUMNS = {alias: each.name for each in FIELDS for alias in (each.name, *each.aliases)}
SYMPTOMS = tuple(each.name for each in FIELDS if each.symptom)
OPTIONS = {f"--{each.name.replace('_', '-')}": each.name for each in FIELDS if not each.symptom}

Record = dict[str, float]


def record(values: Mapping[str, object]) -> Record:
    """A checked record: the fields that are stated, as numbers in the units of `FIELDS` (F and no are 0, M and yes 1).

    Args:
        values: field to number, text or `None`; what is absent (`None`, "", "unknown") is left out.

    Raises:
        UsageError: a field that does not exist.
        InputRefused: values that are none, or out of range (code `clinical-value`), or blood counts that contradict
            each other (`clinical-conflict`). The message names every one of them.
    """
    unknown = [name for name in values if name not in BY_NAME]
    if unknown:
        raise UsageError(f"expected clinical fields of {', '.join(BY_NAME)}. Received: {unknown[0]!r}")
    found: Record = {}
    problems = []
    for each in FIELDS:
        try:
            value = read(each, values.get(each.name))
        except InputRefused as error:
            problems.append(error.message)
            continue
        if value is not None:
            found[each.name] = value
    if problems:
        raise InputRefused("; ".join(problems), code="clinical-value")
    check_counts(found)
    return found


def read(field: Field, value: object) -> float | None:
    """One value as a number in the unit of its field, `None` where it is absent.

    Raises:
        InputRefused: not a value of this field; the message gives unit and range, and the unit that it looks like.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip().lower() if not isinstance(value, bool) else ("yes" if value else "no")
    if text in ABSENT:
        return None
    if field.codes:
        return _coded(field, text)
    number, unit = _number(field, text)
    hint = _foreign(field, unit) or _meant(field, number)
    if hint or not field.low <= number <= field.high:
        raise _refused(field, f"{number:g}{' ' + unit if unit in field.spellings else ''}{hint}")
    return number


def symptoms(text: str) -> dict[str, str]:
    """`fever,cough,no-diarrhoea` as yes and no; a symptom that is not named stays unknown. Raises `UsageError`."""
    found: dict[str, str] = {}
    for part in filter(None, (piece.strip().lower() for piece in text.split(","))):
        name = part.removeprefix("no-").replace("-", "_").replace(" ", "_")
        if name not in SYMPTOMS or name in found:
            raise UsageError(
                f"expected --symptoms of {', '.join(SYMPTOMS)}, each once, with no- before those that are absent. "
                f"Received: {part!r}"
            )
        found[name] = "no" if part.startswith("no-") else "yes"
    return found


def check_counts(known: Mapping[str, float]) -> None:
    """Raise `InputRefused` (code `clinical-conflict`) when the parts of a blood count exceed the whole."""
    whole = known.get("leukocytes")
    parts = known.get("neutrophils", 0.0) + known.get("lymphocytes", 0.0)
    if whole is not None and parts > ROUNDING * whole:
        raise InputRefused(
            f"expected neutrophils and lymphocytes of at most the leukocytes, {whole:g} {COUNT}. Received: {parts:g} "
            "together; are they percentages?",
            code="clinical-conflict",
        )


def remarks(known: Mapping[str, float]) -> tuple[str, ...]:
    """What is possible but rare enough to be asked about."""
    found = []
    if known.get("spo2", 100) < 70:
        found.append("SpO2 below 70 % is rare: is it the oxygen pressure (PaO2) in mmHg?")
    if known.get("age", 100) < 1:
        found.append("age below one year: it is read in years")
    return tuple(found)


def shown(name: str, value: float) -> str:
    """A value for people: `63 years`, `M`, `91 percent`, `yes`."""
    field = BY_NAME[name]
    if field.codes:
        return _words(field)[int(value)]
    return f"{value:g} {field.unit}"


def _words(field: Field) -> tuple[str, str]:
    return ("F", "M") if field.name == "sex" else ("no", "yes")


def _coded(field: Field, text: str) -> float:
    if text not in field.codes:
        raise _refused(field, "something else")
    return field.codes[text]


def _number(field: Field, text: str) -> tuple[float, str]:
    match = re.fullmatch(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(\s+\S.*|[^\d\s.,+-].*)?", text)
    if not match:
        comma = " with a decimal comma; write a point" if re.fullmatch(r"\d+,\d+", text) else ""
        raise _refused(field, f"{'a number' if comma else 'no number'}{comma}")
    return float(match[1]), (match[2] or "").strip()


def _foreign(field: Field, unit: str) -> str:
    """A unit that was written behind the number and is not that of the field."""
    if not unit or unit in field.spellings or unit == field.unit.lower():
        return ""
    known = {"f": "degrees Fahrenheit", "°f": "degrees Fahrenheit", "mmhg": "a pressure in mmHg", "kpa": "a pressure"}
    return f" in another unit ({known[unit]})" if unit in known else " in another unit"


def _meant(field: Field, number: float) -> str:
    """What a number out of range looks like; "" for one inside it."""
    if field.low <= number <= field.high:
        return ""
    guess: dict[str, Any] = {
        "temperature": _temperature, "spo2": _saturation, "age": _age,
        "leukocytes": _cells, "neutrophils": _cells, "lymphocytes": _cells,
    }  # fmt: skip
    return guess[field.name](number) if field.name in guess else ""


def _temperature(number: float) -> str:
    if 86 <= number <= 113:
        return f", which looks like degrees Fahrenheit ({(number - 32) / 1.8:.1f} degrees Celsius)"
    if 300 <= number <= 320:
        return f", which looks like kelvin ({number - 273.15:.1f} degrees Celsius)"
    return ""


def _saturation(number: float) -> str:
    if 0 < number <= 1:
        return f", which looks like a fraction ({100 * number:g} percent)"
    return ", which looks like an oxygen pressure (PaO2) in mmHg or kPa" if number > 1 else ""


def _age(number: float) -> str:
    if 1900 <= number <= 2100:
        return ", which looks like a year of birth"
    return ", which looks like months or days" if number > 0 else ""


def _cells(number: float) -> str:
    if number >= 150:
        return f", which looks like cells per microlitre ({number / 1000:g} {COUNT})"
    return ", which looks like a percentage of the leukocytes" if number > 0 else ""


def _refused(field: Field, received: str) -> InputRefused:
    return InputRefused(f"expected {field.expected}. Received: {received}", code="clinical-value")
