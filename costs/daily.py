"""The tables of daily sums: caches of the ledger, which may be emptied and are built again.

What is spent in a day is summed by six sets of columns, so that each report reads the smallest
table that answers it. An amount is kept in two columns, micro-dollars and the pico-dollars below,
because SQLite cannot add up more than 9.2 million dollars in pico-dollars.
"""

from typing import ClassVar

from django.db import models

#: The columns of amounts, each of them two in the database.
AMOUNTS = ("amount", "estimated")
MEASURES = (
    "calls",
    "unpriced_calls",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    *(f"{name}_{part}" for name in AMOUNTS for part in ("micro", "rest")),
)
PICO_PER_MICRO = 10**6


def joined_pico(micro: int | None, rest: int | None) -> int | None:
    """An amount from its two columns; None stays unknown."""
    return None if micro is None or rest is None else int(micro) * PICO_PER_MICRO + int(rest)


class DailySum(models.Model):
    """What one day's calls of one kind used and cost; the amounts are NULL when none is known."""

    dimensions: ClassVar[tuple[str, ...]] = ("day", "provider", "model", "outcome")

    day = models.DateField()
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=160)
    #: How the call ended, or that a later attempt of its run made it worthless.
    outcome = models.CharField(max_length=12)
    calls = models.BigIntegerField()
    unpriced_calls = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    amount_micro = models.BigIntegerField(null=True)
    amount_rest = models.BigIntegerField(null=True)
    estimated_micro = models.BigIntegerField(null=True)
    estimated_rest = models.BigIntegerField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return " ".join(str(getattr(self, name)) for name in self.dimensions)


class DailyCost(DailySum):
    """The day's calls of everybody, by model."""

    class Meta:
        default_permissions = ()
        permissions = [("view_cost_report", "Can see what everybody has spent")]
        verbose_name = verbose_name_plural = "cost report"
        constraints = [
            models.UniqueConstraint(
                fields=["day", "provider", "model", "outcome"], name="daily_cost_once"
            )
        ]


class DailyClassCost(DailySum):
    """The day's calls of everybody, by model and class of tokens; a call counts in each class."""

    dimensions = ("day", "token_class", "provider", "model", "outcome")

    token_class = models.CharField(max_length=24)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["day", "token_class", "provider", "model", "outcome"],
                name="daily_class_cost_once",
            )
        ]


class DailyToolCost(DailySum):
    """The day's calls of everybody, by model and the tools whose results they answer."""

    dimensions = ("day", "tool", "provider", "model", "outcome")

    tool = models.CharField(max_length=160)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["day", "tool", "provider", "model", "outcome"],
                name="daily_tool_cost_once",
            )
        ]


class DailyOwnerCost(DailySum):
    """The day's calls of each owner, by model."""

    dimensions = ("day", "owner_key", "provider", "model", "outcome")

    owner_key = models.CharField(max_length=80)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["day", "owner_key", "provider", "model", "outcome"],
                name="daily_owner_cost_once",
            )
        ]
        indexes = [models.Index(fields=["owner_key", "day"], name="daily_owner_cost_owner")]


class DailySessionCost(DailySum):
    """The day's calls of each chat session, by model."""

    dimensions = ("day", "session_key", "owner_key", "provider", "model", "outcome")

    session_key = models.CharField(max_length=240)
    owner_key = models.CharField(max_length=80)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["day", "session_key", "provider", "model", "outcome"],
                name="daily_session_cost_once",
            )
        ]
        indexes = [models.Index(fields=["owner_key", "day"], name="daily_session_cost_owner")]


class DailyRunCost(DailySum):
    """The day's calls of each run, by model."""

    dimensions = (
        "day",
        "run_id",
        "session_key",
        "owner_key",
        "provider",
        "model",
        "outcome",
    )

    run_id = models.UUIDField()
    session_key = models.CharField(max_length=240)
    owner_key = models.CharField(max_length=80)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["day", "run_id", "provider", "model", "outcome"],
                name="daily_run_cost_once",
            )
        ]
        indexes = [models.Index(fields=["owner_key", "day"], name="daily_run_cost_owner")]


class SummedDay(models.Model):
    """A day that is over, and whether its sums are those of the ledger."""

    day = models.DateField(primary_key=True)
    #: Counts what happened to the day, so that of two builders only one writes.
    version = models.BigIntegerField(default=0)
    #: NULL when the sums are to be made, or to be made anew.
    built_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.day)


class SumsProgress(models.Model):
    """Up to which entry of the ledger it is known which days have to be summed anew; one row."""

    through_id = models.BigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"through entry {self.through_id}"


#: The narrowest first.
TABLES: tuple[type[DailySum], ...] = (
    DailyCost,
    DailyClassCost,
    DailyToolCost,
    DailyOwnerCost,
    DailySessionCost,
    DailyRunCost,
)
