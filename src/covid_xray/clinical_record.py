"""Build the pydantic model of the clinical fields from `clinical.FIELDS`, for the API and for Python callers."""

from typing import Annotated, Any

import pydantic

from covid_xray import clinical
from covid_xray.errors import InputRefused


def _annotation(field: clinical.Field) -> Any:
    def read(value: object) -> float | None:
        try:
            return clinical.read(field, value)
        except InputRefused as error:
            raise ValueError(error.message) from None

    validator = pydantic.BeforeValidator(read, json_schema_input_type=float | bool | str | None)
    description = pydantic.Field(
        description=f"{field.title[0].upper()}{field.title[1:]}: {field.accepted}.",
        json_schema_extra={"unit": field.unit, "minimum": field.low, "maximum": field.high},
    )
    return Annotated[float | None, validator, description]


class _Record(pydantic.BaseModel):
    """Base of `ClinicalRecord`: frozen, no unknown names, consistent blood counts."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    @pydantic.model_validator(mode="after")
    def _check_counts(self) -> "_Record":
        try:
            clinical.check_counts(self.known)
        except InputRefused as error:
            raise ValueError(error.message) from None
        return self

    @property
    def known(self) -> clinical.Record:
        """The stated fields as numbers."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


_FIELDS: dict[str, Any] = {field.name: (_annotation(field), None) for field in clinical.FIELDS}
ClinicalRecord = pydantic.create_model(
    "ClinicalRecord",
    __base__=_Record,
    __doc__="Clinical data of a patient; every field may be left out.",
    **_FIELDS,
)
