"""What tools made that is no text: kept in the database, and gone with its session."""

import uuid
from urllib.parse import quote

from chat.event_log import Place
from chat.models import Artifact, ChatSession
from chat.parts import ArtifactRef


class UnknownArtifact(Exception):
    """There is no such artifact."""

    def __str__(self) -> str:
        return self.__doc__ or ""


def url(session_id: str, artifact_id: uuid.UUID) -> str:
    """Where its owner finds it."""
    return f"/api/sessions/{quote(session_id)}/artifacts/{artifact_id}"


def store(place: Place, ref: ArtifactRef, content: bytes) -> None:
    """Keep an artifact. To be called in the transaction of the event that tells of it."""
    Artifact.objects.create(
        id=ref.artifact_id,
        session_id=place.session_pk,
        run_id=place.run_id,
        name=ref.name,
        content_type=ref.content_type,
        content=content,
    )


def get_in(session: ChatSession, artifact_id: str) -> Artifact:
    """Find an artifact of a session. Raises UnknownArtifact."""
    try:
        return session.artifacts.get(pk=uuid.UUID(artifact_id))
    except (Artifact.DoesNotExist, ValueError) as error:
        raise UnknownArtifact from error
