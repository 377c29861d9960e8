"""What a tool makes that is no text: a picture, a document."""

import re
from dataclasses import dataclass

from langchain_core.tools import ToolException

from chat.parts import Made

#: So that it fits into one frame of a WebSocket; many clients take no more than 1 MiB.
MAX_BYTES = 1_000_000
MAX_CHARACTERS = 200
CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")
#: What a name of a file may not have, on any system.
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\ud800-\udfff"*/:<>?\\|]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Made):
    """Given beside a tool's text (`response_format="content_and_artifact"`), alone or in a list.

    Raises ToolException when it cannot be kept.
    """

    def __post_init__(self) -> None:
        if len(self.content) > MAX_BYTES:
            raise ToolException(
                f"The file has {len(self.content):,} bytes; {MAX_BYTES:,} can be kept."
            )
        if not CONTENT_TYPE.fullmatch(self.content_type):
            raise ToolException(f"There is no content type {self.content_type[:60]!r}.")
        if not self.name or len(self.name) > MAX_CHARACTERS or FORBIDDEN.search(self.name):
            raise ToolException(f"A file cannot be called {self.name[:60]!r}.")
