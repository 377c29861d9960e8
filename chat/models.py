"""The state of conversations: sessions, messages, runs, the event log, API keys.

What must always hold is held by constraints here, whatever the code above does.
"""

import secrets
import uuid
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone


class WrittenOnce(Exception):
    """An event of the log was to be changed."""


def new_session_id() -> str:
    return uuid.uuid4().hex


def new_epoch() -> str:
    return secrets.token_hex(4)


class ChatSession(models.Model):
    """What a user comes back to. `session_id` is chosen by the client and private to its owner."""

    owner_key = models.CharField(max_length=80)
    session_id = models.CharField(max_length=128, default=new_session_id)
    title = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=160, blank=True)
    #: What the agent is told about the user beside the conversation, by name.
    context = models.JSONField(default=dict, blank=True)
    #: Names this incarnation of the session's log; a position in another one means nothing here.
    epoch = models.CharField(max_length=16, default=new_epoch)
    last_seq = models.BigIntegerField(default=0)
    #: Events up to this one may be gone from the log.
    floor_seq = models.BigIntegerField(default=0)
    # By this process's clock: SQLite's own has another precision, and lists are cut at a time.
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner_key", "session_id"], name="session_of_owner"),
            models.CheckConstraint(
                name="session_floor_below_last", condition=Q(floor_seq__lte=F("last_seq"))
            ),
        ]
        indexes = [
            models.Index(fields=["owner_key", "-updated_at", "-id"], name="session_newest_first")
        ]

    def __str__(self) -> str:
        return self.title or self.session_id

    @property
    def ledger_key(self) -> str:
        """What the ledger calls this session, also when it is gone and its id is used again."""
        return f"{self.owner_key}/{self.session_id}.{self.epoch.partition('-')[0]}"

    @staticmethod
    def id_in_ledger_key(key: str) -> str:
        """The id that a session of the ledger has or had."""
        return key.partition("/")[2].rpartition(".")[0] or key


class Run(models.Model):
    """One execution of the agent that answers one user message."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"
        CANCELLED = "cancelled"

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    TERMINAL = (Status.FINISHED, Status.FAILED, Status.CANCELLED)
    MAX_ATTEMPTS = 3

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    #: The index on session and place serves it.
    session = models.ForeignKey(ChatSession, models.CASCADE, related_name="runs", db_index=False)
    #: The place of the run in its session; runs execute in this order.
    queued_seq = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    model = models.CharField(max_length=160)
    #: Wishes for the answer: temperature, max_tokens.
    options = models.JSONField(default=dict, blank=True)
    #: The number of the API key that asked, or empty.
    api_key = models.CharField(max_length=20, blank=True, default="")
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001
    request_digest = models.CharField(max_length=64, blank=True)
    #: The run that this one asks again; the model is not shown that one any more.
    retry_of = models.ForeignKey("self", models.CASCADE, null=True, related_name="retries")
    attempt = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=80, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: Whether this attempt has shown output or run a tool with effects outside: then it may not
    #: be repeated silently.
    has_effects = models.BooleanField(default=False)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = models.CharField(max_length=12, blank=True)
    #: See chat/attendance.py.
    attendant = models.UUIDField(null=True, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    #: In how many pieces the model sent the answer's text; NULL until the run has ended, and when
    #: its worker died.
    total_chunks = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session"], condition=Q(status="running"), name="one_running_run"
            ),
            models.UniqueConstraint(
                fields=["session", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="run_of_idempotency_key",
            ),
            models.CheckConstraint(
                name="run_ends_when_terminal",
                condition=Q(status__in=("queued", "running"), ended_at__isnull=True)
                | Q(status__in=("finished", "failed", "cancelled"), ended_at__isnull=False),
            ),
            models.CheckConstraint(
                name="run_lease_while_running",
                condition=Q(status="running", lease_expires_at__isnull=False)
                | (~Q(status="running") & Q(lease_expires_at__isnull=True)),
            ),
            models.CheckConstraint(name="run_attempts_bounded", condition=Q(attempt__lte=3)),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="run_queued", condition=Q(status="queued")),
            models.Index(
                fields=["lease_expires_at"], name="run_leased", condition=Q(status="running")
            ),
            models.Index(fields=["session", "queued_seq"], name="run_of_session"),
            models.Index(
                fields=["ended_at", "status"], name="run_ended", condition=Q(ended_at__isnull=False)
            ),
            models.Index(
                fields=["left_at"],
                name="run_left",
                condition=Q(status__in=("queued", "running"), left_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"

    @property
    def requested_cancel(self) -> Any:
        """Why the run is to stop (events.CancelReason), or None."""
        return (self.cancel_reason or "requested") if self.cancel_requested_at else None

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE


class Message(models.Model):
    """One turn by one role, complete or stopped, with its parts as plain values."""

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    session = models.ForeignKey(
        ChatSession, models.CASCADE, related_name="messages", db_index=False
    )
    run = models.ForeignKey(Run, models.CASCADE, related_name="messages", db_index=False)
    role = models.CharField(max_length=10, choices=Role)
    #: See chat/parts.py.
    parts = models.JSONField()
    stop_reason = models.CharField(max_length=16, default="stop")
    #: The seq of the event that completed the message; orders the conversation.
    seq = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session", "seq"], name="message_of_seq"),
            models.UniqueConstraint(fields=["run", "role"], name="one_message_per_role"),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"


class Artifact(models.Model):
    """What a tool made that is no text."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    session = models.ForeignKey(ChatSession, models.CASCADE, related_name="artifacts")
    run = models.ForeignKey(Run, models.CASCADE, related_name="artifacts")
    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=80)
    content = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class EventQuerySet(models.QuerySet[Any]):
    def update(self, **values: Any) -> NoReturn:
        raise WrittenOnce("events are never changed")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise WrittenOnce("events are never changed")


class EventRecord(models.Model):
    """One event of a session's log. Written once, by chat/event_log.py alone."""

    session = models.ForeignKey(ChatSession, models.CASCADE, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    run_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    type = models.CharField(max_length=40)
    #: The event as JSON text, see chat/events.py.
    body = models.TextField()
    at = models.DateTimeField()

    objects = EventQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session", "seq"], name="event_of_seq"),
            models.UniqueConstraint(
                fields=["run_id"],
                condition=Q(type__in=("run.finished", "run.failed", "run.cancelled")),
                name="one_terminal_event",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id}:{self.seq} {self.type}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise WrittenOnce("events are never changed")
        super().save(*args, **{**kwargs, "force_insert": True})


class ApiKey(models.Model):
    """A key with which a program acts for a user; only its digest is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    #: The first characters, to tell keys apart in lists.
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class MeshDelivery(models.Model):
    """What another agent sent over the mesh: its answer, and the events in which it came."""

    owner_key = models.CharField(max_length=80)
    #: The agent that sent it.
    agent_id = models.CharField(max_length=128)
    target_agent = models.CharField(max_length=128, blank=True)
    message = models.TextField()
    response = models.TextField()
    events = models.JSONField()
    #: When the sender says that it answered, in its own words.
    sent_at = models.CharField(max_length=64, blank=True)
    #: Of everything above: what is sent again is kept once.
    digest = models.CharField(max_length=64)
    #: The run that answers it, when it was for an agent of ours.
    run_id = models.UUIDField(null=True, blank=True)
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "mesh deliveries"
        constraints = [
            models.UniqueConstraint(fields=["owner_key", "digest"], name="mesh_delivery_once")
        ]
        indexes = [
            models.Index(fields=["owner_key", "agent_id", "-id"], name="mesh_delivery_of_agent")
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} to {self.target_agent or 'anybody'}"
