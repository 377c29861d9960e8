"""The rows of the ledger: model calls, prices as they were believed, and charges.

Nothing here points at a user or a chat session by foreign key: the ledger outlives both.
"""

import uuid
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from costs.budget_models import Budget, BudgetHold, BudgetWindow
from costs.daily import (
    DailyClassCost,
    DailyCost,
    DailyOwnerCost,
    DailyRunCost,
    DailySessionCost,
    DailyToolCost,
    SummedDay,
    SumsProgress,
)
from costs.exchange import ExchangeRate
from costs.rates import validate_rates
from costs.written_once import WrittenOnce, WrittenOnceModel

__all__ = [
    "Budget",
    "BudgetHold",
    "BudgetWindow",
    "CostReset",
    "DailyClassCost",
    "DailyCost",
    "DailyOwnerCost",
    "DailyRunCost",
    "DailySessionCost",
    "DailyToolCost",
    "ExchangeRate",
    "LedgerEntry",
    "ModelCall",
    "PriceOverride",
    "PriceSnapshot",
    "SummedDay",
    "SumsProgress",
    "WrittenOnce",
    "WrittenOnceModel",
]


class PriceSnapshot(WrittenOnceModel):
    """What was believed about a model's price, kept as long as a charge refers to it."""

    digest = models.CharField(max_length=64, unique=True)
    source = models.CharField(max_length=60)
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=160)
    service_tier = models.CharField(max_length=20, blank=True, default="")
    currency = models.CharField(max_length=3, default="USD")
    rates = models.JSONField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.provider}:{self.model} ({self.source})"


class PriceOverride(WrittenOnceModel):
    """A price of our own, which goes before the list. A later row supersedes an earlier one."""

    provider = models.CharField(max_length=40, help_text="As in openai:gpt-4o; before the colon.")
    model_pattern = models.CharField(
        max_length=160,
        help_text="The model's name, or a pattern: * is any text. The most exact pattern counts.",
    )
    service_tier = models.CharField(
        max_length=20, blank=True, default="", help_text="Empty is the standard one."
    )
    valid_from = models.DateTimeField(
        help_text="UTC. Of rows with the same pattern the latest that has begun counts; of the "
        "same time, the one that was added last."
    )
    rates = models.JSONField(
        blank=True,
        default=dict,
        validators=[validate_rates],
        help_text='USD per million tokens as text: {"input": "0.15", "output": "0.60"}; for '
        'web_search, per thousand. By prompt size: {"input": {"0": "1.25", "200000": "2.50"}}. '
        "A class that is left out is unpriced, but reasoning costs as output. Empty: the list "
        "price counts again.",
    )
    note = models.CharField(max_length=200, blank=True, default="")
    created_by = models.CharField(max_length=150, blank=True, default="", editable=False)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        base_manager_name = "objects"
        indexes = [models.Index(fields=["provider", "valid_from"], name="price_override_provider")]

    def __str__(self) -> str:
        return f"{self.provider}:{self.model_pattern} from {self.valid_from:%Y-%m-%d}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        validate_rates(self.rates)
        super().save(*args, **kwargs)


class ModelCall(models.Model):
    """One request to a provider: opened before it is sent, closed exactly once."""

    class Status(models.TextChoices):
        OPEN = "open"
        COMPLETE = "complete"
        TRUNCATED = "truncated"
        CANCELLED = "cancelled"
        FAILED = "failed"
        ABANDONED = "abandoned"

    class UsageSource(models.TextChoices):
        PROVIDER = "provider"
        ESTIMATED = "estimated"
        NONE = "none"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    run_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    session_key = models.CharField(max_length=240)
    owner_key = models.CharField(max_length=80)
    #: The number of the API key that asked, or empty.
    api_key = models.CharField(max_length=20, blank=True, default="")
    provider = models.CharField(max_length=40)
    requested_model = models.CharField(max_length=160)
    #: The tools whose results the call was made to answer, with commas; empty for the first call.
    tool = models.CharField(max_length=160, blank=True, db_default="")
    served_model = models.CharField(max_length=160, blank=True)
    provider_request_id = models.CharField(max_length=160, blank=True)
    #: What the provider says that it served: priority, flex, batch ...; empty is its standard.
    service_tier = models.CharField(max_length=20, blank=True, default="")
    #: What the provider says that it charges, in whole 1e-12 USD.
    stated_pico = models.BigIntegerField(null=True, blank=True)
    #: The price of what was served, when the request was sent; NULL when it was not known.
    price = models.ForeignKey(PriceSnapshot, models.PROTECT, null=True, blank=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.OPEN)
    usage_source = models.CharField(max_length=12, choices=UsageSource, default=UsageSource.NONE)
    usage_raw = models.JSONField(default=dict, blank=True)
    usage_by_class = models.JSONField(default=dict, blank=True)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    flags = models.JSONField(default=list, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField()
    first_token_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="model_call_open_has_no_end",
                condition=Q(status="open", ended_at__isnull=True)
                | (~Q(status="open") & Q(ended_at__isnull=False)),
            ),
        ]
        indexes = [
            models.Index(fields=["run_id"], name="model_call_run"),
            # Few calls are of a later attempt; of each call it is asked whether there is one.
            models.Index(
                fields=["run_id", "attempt"], name="model_call_later", condition=Q(attempt__gt=1)
            ),
            models.Index(fields=["session_key", "started_at"], name="model_call_session"),
            models.Index(fields=["owner_key", "started_at"], name="model_call_owner"),
            models.Index(fields=["started_at"], name="model_call_open", condition=Q(status="open")),
            models.Index(fields=["started_at"], name="model_call_time"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}:{self.requested_model} ({self.status})"


class LedgerEntry(WrittenOnceModel):
    """One line of cost: a quantity of one token class at one rate. Never changed, never deleted."""

    class Kind(models.TextChoices):
        CHARGE = "charge"
        REVERSAL = "reversal"
        ADJUSTMENT = "adjustment"
        UNPRICED = "unpriced"

    idempotency_key = models.CharField(max_length=160, unique=True)
    call = models.ForeignKey(
        ModelCall, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="entries"
    )
    run_id = models.UUIDField()
    session_key = models.CharField(max_length=240)
    owner_key = models.CharField(max_length=80)
    kind = models.CharField(max_length=12, choices=Kind)
    token_class = models.CharField(max_length=24)
    quantity = models.BigIntegerField()
    rate_pico_per_m = models.BigIntegerField(null=True)
    #: Whole 1e-12 USD; NULL when the model has no known price.
    amount_pico = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, default="USD")
    is_estimate = models.BooleanField(default=False)
    price = models.ForeignKey(PriceSnapshot, models.PROTECT, null=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")
    call_started_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "objects"
        verbose_name_plural = "ledger entries"
        constraints = [
            models.CheckConstraint(
                name="ledger_charge_is_priced",
                condition=~Q(kind__in=["charge", "adjustment"])
                | Q(quantity__gte=0, amount_pico__gte=0, price__isnull=False),
            ),
            models.CheckConstraint(
                name="ledger_unpriced_has_no_amount",
                # The reversal of what had no price has no amount either.
                condition=Q(kind="unpriced", amount_pico__isnull=True)
                | Q(kind="reversal")
                | (~Q(kind="unpriced") & Q(amount_pico__isnull=False)),
            ),
            models.CheckConstraint(
                name="ledger_reversal_names_entry",
                condition=Q(kind="reversal", reverses__isnull=False)
                | (~Q(kind="reversal") & Q(reverses__isnull=True)),
            ),
            models.CheckConstraint(
                name="ledger_kind_is_known",
                condition=Q(kind__in=["charge", "reversal", "adjustment", "unpriced"]),
            ),
        ]
        indexes = [
            models.Index(fields=["run_id"], name="ledger_run"),
            models.Index(fields=["call"], name="ledger_call"),
            models.Index(fields=["session_key", "call_started_at"], name="ledger_session"),
            models.Index(fields=["owner_key", "call_started_at"], name="ledger_owner"),
            models.Index(fields=["call_started_at"], name="ledger_time"),
            models.Index(fields=["call"], name="ledger_unpriced", condition=Q(kind="unpriced")),
        ]

    def __str__(self) -> str:
        return self.idempotency_key


#: Entries that count: no reversals, and not reversed.
STANDS = ~Q(kind=LedgerEntry.Kind.REVERSAL) & Q(reversed_by__isnull=True)
#: Of those, what is in no sum, because it has no price.
UNPRICED = Q(kind=LedgerEntry.Kind.UNPRICED, reversed_by__isnull=True)


class CostReset(WrittenOnceModel):
    """From when on an owner's cost summary counts; the ledger itself is never reset."""

    owner_key = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "objects"
        indexes = [models.Index(fields=["owner_key", "at"], name="cost_reset_owner")]

    def __str__(self) -> str:
        return f"{self.owner_key} at {self.at}"
