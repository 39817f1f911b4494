"""What every part of a request has in common."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Part(BaseModel):
    """A part of a request: frozen, strict, by its JSON names only, and closed to fields it does not know."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        serialize_by_alias=True,
        field_title_generator=lambda name, _: name.strip("_").replace("_", " ").capitalize(),
    )
