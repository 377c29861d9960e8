"""The native dialect: one flat JSON object per envelope, on WebSocket and SSE alike."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chat.events import Envelope
from chat.parts import ArtifactRef


def encode(envelope: Envelope) -> str:
    """Give the envelope as one line of JSON, its event's fields beside `seq` and the rest."""
    header = (
        f'{{"seq":{envelope.seq},"session_id":{json.dumps(envelope.session_id)},'
        f'"run_id":"{envelope.run_id}","attempt":{envelope.attempt},"at":"{envelope.at}",'
    )
    return header + envelope.body[1:]


def frames(envelopes: Sequence[Envelope], *, in_batches: bool) -> Iterable[str]:
    """Give the envelopes, each as one line of JSON when its turn comes, or all in one."""
    return [encode_batch(envelopes)] if in_batches and envelopes else map(encode, envelopes)


def encode_batch(envelopes: Sequence[Envelope]) -> str:
    """Give several envelopes as one line of JSON."""
    return f'{{"type":"batch","events":[{",".join(map(encode, envelopes))}]}}'


def encode_reset(snapshot: Mapping[str, Any]) -> str:
    """Tell a reader that it has lost its place: what there is, and where the stream goes on."""
    return json.dumps({"type": "stream.reset", **snapshot})


def encode_artifact(ref: ArtifactRef) -> str:
    """Say what the binary frame is that comes next."""
    return json.dumps({"type": "artifact", **ref.model_dump()})


def encode_caught_up(*, epoch: str, seq: int) -> str:
    """Tell a reader that it has been given all that is stored up to `seq`."""
    return json.dumps({"type": "caught_up", "epoch": epoch, "seq": seq})


def encode_refusal(*, code: str, detail: str) -> str:
    """Tell a client that its command was not carried out, and why."""
    return json.dumps({"type": "refused", "code": code, "detail": detail})
