"""What a client may ask of a chat session, and the reading of it from JSON text."""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from chat import strict_json
from chat.parts import Value

MAX_TEXT_BYTES = 32 * 1024
#: Room for the longest message with every character written as an escape.
MAX_FRAME_BYTES = 128 * 1024

IfRunning = Literal["reject", "enqueue", "interrupt", "rollback"]


class InvalidCommand(ValueError):
    """The client's text is no command; `code` is for programs, the message for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def clean_text(text: str) -> str:
    """Drop NUL, which no database stores, and refuse what is empty or too long.

    Raises ValueError with a sentence for the client.
    """
    cleaned = text.replace("\0", "")
    if all(c.isspace() or unicodedata.category(c) in ("Cf", "Cc") for c in cleaned):
        raise ValueError("Empty message")
    if len(cleaned.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"The message is longer than {MAX_TEXT_BYTES // 1024} KiB")
    return cleaned


MessageText = Annotated[str, AfterValidator(clean_text)]
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
ModelName = Annotated[str, Field(min_length=3, max_length=160, pattern=r"^[a-z]+:[^\s\x00]+$")]


Temperature = Annotated[float, Field(ge=0, le=2)]
TokenLimit = Annotated[int, Field(ge=1, le=2**31)]


class SendMessage(Value):
    type: Literal["send_message"] = "send_message"
    text: MessageText
    model: ModelName | None = None
    #: What to do when the session has a run already.
    if_running: IfRunning = "reject"
    #: The same key again gives the same run again.
    idempotency_key: IdempotencyKey | None = None
    #: Wishes for this answer; the operator's limit of tokens holds all the same.
    temperature: Temperature | None = None
    max_tokens: TokenLimit | None = None

    @property
    def options(self) -> dict[str, float]:
        """What is wished for this answer, by name."""
        return self.model_dump(include={"temperature", "max_tokens"}, exclude_none=True)


class CancelRun(Value):
    type: Literal["cancel_run"] = "cancel_run"
    #: None cancels whatever runs in the session.
    run_id: str | None = None


Command = SendMessage | CancelRun
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


def parse(text: str) -> Command:
    """Read a command from the JSON text of a frame. Raises InvalidCommand."""
    if len(text.encode(errors="surrogatepass")) > MAX_FRAME_BYTES:
        limit = MAX_FRAME_BYTES // 1024
        raise InvalidCommand("too_large", f"A frame may have {limit} KiB at most")
    try:
        value = strict_json.loads(text)
    except strict_json.InvalidJson as error:
        raise InvalidCommand("invalid_json", f"Not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidCommand("invalid_command", "A command is a JSON object")
    try:
        return _COMMAND.validate_python(value)
    except ValidationError as error:
        raise _refusal(value, error) from error


def describe(error: ValidationError) -> str:
    """Say in one sentence what is wrong with the first field that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(step) for step in first["loc"] if step not in _TYPES)
    message = first["msg"].removeprefix("Value error, ")
    return message if first["type"] == "value_error" or not field else f"{field}: {message}"


_TYPES = ("send_message", "cancel_run")


def _refusal(value: dict[str, object], error: ValidationError) -> InvalidCommand:
    kind = value.get("type")
    if kind not in _TYPES:
        named = ascii(kind)[:64]
        return InvalidCommand("unknown_type", f"Unknown type {named}; known: {', '.join(_TYPES)}")
    return InvalidCommand("invalid_command", describe(error))
