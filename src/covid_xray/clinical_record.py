"""The clinical fields as a pydantic model, for the API and for who builds records in Python.

Names, units, ranges and the reading of values come from `clinical.FIELDS`; nothing is said twice.
"""

from typing import Annotated, Any

import pydantic

from covid_xray import clinical
from covid_xray.errors import InputRefused


def _reading(field: clinical.Field) -> Any:
    def value(given: object) -> float | None:
        try:
            return clinical.read(field, given)
        except InputRefused as error:
            raise ValueError(error.message) from None

    return pydantic.BeforeValidator(value, json_schema_input_type=float | bool | str | None)


def _annotation(field: clinical.Field) -> Any:
    about = pydantic.Field(
        description=f"{field.expected[0].upper()}{field.expected[1:]}.",
        json_schema_extra={"unit": field.unit, "minimum": field.low, "maximum": field.high},
    )
    return Annotated[float | None, _reading(field), about]


class _Checked(pydantic.BaseModel):
    """What the fields below share: frozen, strict about names, blood counts that fit each other."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "_Checked":
        try:
            clinical.check_counts(self.known)
        except InputRefused as error:
            raise ValueError(error.message) from None
        return self

    @property
    def known(self) -> clinical.Record:
        """The fields that are stated, as numbers: what `Predictor.join` takes."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


_FIELDS: dict[str, Any] = {field.name: (_annotation(field), None) for field in clinical.FIELDS}
ClinicalRecord = pydantic.create_model(
    "ClinicalRecord",
    __base__=_Checked,
    __doc__="What is known of a patient besides the picture; every field may be left out.",
    **_FIELDS,
)
