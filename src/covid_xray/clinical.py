"""Define the clinical fields of a patient with units and ranges, and read their values.

The command line, CSV columns, the API (`clinical_record`) and `bundle.json` all use `FIELDS`. A value out of range is
refused with a guess at its unit, never converted. No pydantic here, since importing it delays a prediction.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from covid_xray.errors import InputRefused, UsageError

ABSENT = {"", "nan", "none", "null", "na", "n/a", "unknown", "?"}
YES, NO = {"y", "yes", "true", "1"}, {"n", "no", "false", "0"}
COUNT = "10^9/L"
COUNT_SPELLINGS = ("10^9/l", "10e9/l", "x10^9/l", "g/l", "k/ul", "k/µl", "/nl")
ROUNDING = 1.05  # the parts of a blood count may exceed the whole by this factor


@dataclass(frozen=True)
class Field:
    """One clinical field.

    Args:
        name: key of records, column of tables, and with hyphens the option of `covid-xray predict`.
        title: name for people.
        unit: unit of the value; "" for coded fields.
        low, high: accepted range.
        codes: words and their numbers; empty for a measured number.
        aliases: other names of the column in tables.
        spellings: accepted spellings of the unit, in lower case.
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
    def accepted(self) -> str:
        """The accepted values in words: `F or M`, `50 to 100 percent`."""
        return " or ".join(_words(self)) if self.codes else f"{self.low:g} to {self.high:g} {self.unit}"


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
    """Check clinical values and return them as numbers in the units of `FIELDS` (F and no are 0, M and yes 1).

    Args:
        values: field to number, text or `None`; absent values (`None`, "", "unknown") are left out.

    Raises:
        UsageError: an unknown field.
        InputRefused: unreadable or out of range (code `clinical-value`), or contradictory blood counts
            (`clinical-conflict`). The message lists all of them.
    """
    unknown = [name for name in values if name not in BY_NAME]
    if unknown:
        raise UsageError(f"Unknown clinical field {unknown[0]!r}. Known fields: {', '.join(BY_NAME)}.")
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
        raise InputRefused(" ".join(problems), code="clinical-value")
    check_counts(found)
    return found


def read(field: Field, value: object) -> float | None:
    """Return `value` as a number in the unit of its field, or `None` where it is absent.

    Raises:
        InputRefused: not a value of this field; the message gives range and unit, and the unit it looks like.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip().lower() if not isinstance(value, bool) else ("yes" if value else "no")
    if text in ABSENT:
        return None
    if field.codes:
        return _coded(field, text)
    number, unit = _number(field, text)
    hint = _other_unit(field, unit) or _likely_unit(field, number)
    if hint or not field.low <= number <= field.high:
        stated = f"{number:g}{' ' + unit if unit in field.spellings else ''}"
        raise _refusal(field, f"{stated}{hint}" if hint else f"{stated} is out of range")
    return number


def symptoms(text: str) -> dict[str, str]:
    """Read `fever,cough,no-diarrhoea` as yes and no; unnamed symptoms stay unknown. Raises `UsageError`."""
    found: dict[str, str] = {}
    for part in filter(None, (piece.strip().lower() for piece in text.split(","))):
        name = part.removeprefix("no-").replace("-", "_").replace(" ", "_")
        if name not in SYMPTOMS or name in found:
            raise UsageError(
                f"--symptoms: unknown or repeated {part!r}. Give each of {', '.join(SYMPTOMS)} at most once, with no- "
                "before those that are absent."
            )
        found[name] = "no" if part.startswith("no-") else "yes"
    return found


def check_counts(known: Mapping[str, float]) -> None:
    """Raise `InputRefused` (code `clinical-conflict`) when the parts of a blood count exceed the whole."""
    whole = known.get("leukocytes")
    parts = known.get("neutrophils", 0.0) + known.get("lymphocytes", 0.0)
    if whole is not None and parts > ROUNDING * whole:
        raise InputRefused(
            f"Neutrophils and lymphocytes together ({parts:g}) exceed the leukocytes ({whole:g} {COUNT}). Give all "
            f"three in {COUNT}, not in percent.",
            code="clinical-conflict",
        )


def remarks(known: Mapping[str, float]) -> tuple[str, ...]:
    """Return questions about values that are possible but rare."""
    found = []
    if known.get("spo2", 100) < 70:
        found.append("SpO2 below 70 % is rare: is it the oxygen pressure (PaO2) in mmHg?")
    if known.get("age", 100) < 1:
        found.append("Age below one year is rare: is it in years?")
    return tuple(found)


def shown(name: str, value: float) -> str:
    """Format a value for people: `63 years`, `M`, `91 percent`, `yes`."""
    field = BY_NAME[name]
    if field.codes:
        return _words(field)[int(value)]
    return f"{value:g} {field.unit}"


def _words(field: Field) -> tuple[str, str]:
    return ("F", "M") if field.name == "sex" else ("no", "yes")


def _coded(field: Field, text: str) -> float:
    if text not in field.codes:
        raise _refusal(field, "Unknown value")
    return field.codes[text]


def _number(field: Field, text: str) -> tuple[float, str]:
    match = re.fullmatch(r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(\s+\S.*|[^\d\s.,+-].*)?", text)
    if not match:
        comma = re.fullmatch(r"\d+,\d+", text)
        raise _refusal(field, "Decimal comma (write a point)" if comma else "Not a number")
    return float(match[1]), (match[2] or "").strip()


def _other_unit(field: Field, unit: str) -> str:
    """Describe the unit written behind the number if it is not the field's; else ""."""
    if not unit or unit in field.spellings or unit == field.unit.lower():
        return ""
    known = {"f": "degrees Fahrenheit", "°f": "degrees Fahrenheit", "mmhg": "a pressure in mmHg", "kpa": "a pressure"}
    return f" is in another unit ({known[unit]})" if unit in known else " is in another unit"


def _likely_unit(field: Field, number: float) -> str:
    """Describe what an out-of-range number looks like, as ` looks like kelvin (...)`; "" without a guess."""
    if field.low <= number <= field.high:
        return ""
    fahrenheit, kelvin = f"{(number - 32) / 1.8:.1f}", f"{number - 273.15:.1f}"
    cells = (
        (150, math.inf, f"cells per microlitre ({number / 1000:g} {COUNT})"),
        (0, 150, "a percentage of the leukocytes"),
    )
    guesses: dict[str, tuple[tuple[float, float, str], ...]] = {
        "temperature": (
            (86, 113, f"degrees Fahrenheit ({fahrenheit} degrees Celsius)"),
            (300, 320, f"kelvin ({kelvin} degrees Celsius)"),
        ),
        "spo2": (
            (0, 1, f"a fraction ({100 * number:g} percent)"),
            (1, math.inf, "an oxygen pressure (PaO2) in mmHg or kPa"),
        ),
        "age": ((1900, 2100, "a year of birth"), (0, math.inf, "months or days")),
        **dict.fromkeys(("leukocytes", "neutrophils", "lymphocytes"), cells),
    }
    likely = (text for low, high, text in guesses.get(field.name, ()) if number > 0 and low <= number <= high)
    return next((f" looks like {text}" for text in likely), "")


def _refusal(field: Field, problem: str) -> InputRefused:
    return InputRefused(f"{field.title}: {problem}. Accepted: {field.accepted}.", code="clinical-value")
