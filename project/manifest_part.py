"""What the parts of a manifest have in common."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Part(BaseModel):
    """A mapping of keys; those that it does not know are kept, to be told."""

    model_config = ConfigDict(extra="allow", frozen=True)


def _flag(value: Any) -> Any:
    if isinstance(value, bool) or value in ("true", "false"):
        return value in (True, "true")
    raise ValueError("is neither true nor false")


Flag = Annotated[bool, BeforeValidator(_flag)]
