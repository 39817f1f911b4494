"""The base of every internal model: frozen, JSON in camelCase, tolerant of fields it does not know.

Only the request forbids unknown fields; what workers of two versions exchange must not.
"""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A value that travels between workflow, activities, adapters and clients."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )
