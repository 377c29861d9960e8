"""What tools made that is no text: kept in the database, and gone with its session."""

import uuid
from urllib.parse import quote

from chat.event_log import Place
from chat.models import Artifact, ChatSession
from chat.parts import ArtifactRef, Made


class UnknownArtifact(Exception):
    """There is no such artifact."""

    def __str__(self) -> str:
        return self.__doc__ or ""


def refer(place: Place, made: Made) -> ArtifactRef:
    """Say what was made, and where its owner finds it."""
    return ArtifactRef(
        artifact_id=str(made.artifact_id),
        name=made.name,
        title=made.title,
        content_type=made.content_type,
        size=len(made.content),
        url=f"/api/sessions/{quote(place.session_id)}/artifacts/{made.artifact_id}",
    )


def store(place: Place, made: Made) -> None:
    """Keep what was made. To be called in the transaction of the event that tells of it."""
    Artifact.objects.create(
        id=made.artifact_id,
        session_id=place.session_pk,
        run_id=place.run_id,
        name=made.name,
        content_type=made.content_type,
        content=made.content,
    )


def get_in(session: ChatSession, artifact_id: str) -> Artifact:
    """Find an artifact of a session. Raises UnknownArtifact."""
    try:
        return session.artifacts.get(pk=uuid.UUID(artifact_id))
    except (Artifact.DoesNotExist, ValueError) as error:
        raise UnknownArtifact from error
