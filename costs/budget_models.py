"""The rows of budgets: what may be spent, what has been, and what is set aside."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Budget(models.Model):
    """What may be spent in a day or a month (UTC), by whom or on what."""

    class Scope(models.TextChoices):
        EVERYTHING = "everything", "everything"
        USER = "user", "user"
        API_KEY = "api_key", "API key"
        SESSION = "session", "session"
        MODEL = "model", "model"

    class Period(models.TextChoices):
        DAY = "day"
        MONTH = "month"

    scope = models.CharField(max_length=12, choices=Scope)
    key = models.CharField(
        max_length=240,
        blank=True,
        default="",
        help_text="Whose: a user's name, an API key's name or number, a session's id, or "
        "provider:model. Empty: each of them has this budget for itself.",
    )
    period = models.CharField(max_length=5, choices=Period)
    #: Whole 1e-12 USD.
    limit_pico = models.BigIntegerField(validators=[MinValueValidator(0)])
    soft_percent = models.PositiveSmallIntegerField(
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="From here on each request tells a warning.",
    )
    allows_unpriced = models.BooleanField(
        default=False, help_text="Whether models may be used whose price is not known."
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "key", "period"], name="budget_once"),
            models.CheckConstraint(name="budget_limit", condition=Q(limit_pico__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self._whose} per {self.period}"

    @property
    def _whose(self) -> str:
        scope = self.get_scope_display()
        if not self.key:
            return scope if self.scope == self.Scope.EVERYTHING else f"each {scope}"
        says_what_it_is = self.scope in (self.Scope.USER, self.Scope.MODEL)
        return self.key if says_what_it_is else f"{scope} {self.key}"


class BudgetWindow(models.Model):
    """One period of a budget, of one of those who have it. Amounts are whole 1e-12 USD."""

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="windows")
    key = models.CharField(max_length=240)
    starts_on = models.DateField()
    spent_pico = models.BigIntegerField()
    #: What calls that are open may still cost.
    held_pico = models.BigIntegerField(default=0)
    #: What an operator has granted beyond the limit.
    extra_pico = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["budget", "key", "starts_on"], name="budget_window"),
            models.CheckConstraint(
                name="budget_window_amounts", condition=Q(held_pico__gte=0, extra_pico__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key or 'everything'} from {self.starts_on}"

    @property
    def allowed_pico(self) -> int:
        return self.budget.limit_pico + self.extra_pico

    @property
    def left_pico(self) -> int:
        return self.allowed_pico - self.spent_pico - self.held_pico

    @property
    def percent(self) -> int:
        """How much of it is spent, rounded down."""
        return self.spent_pico * 100 // self.allowed_pico if self.allowed_pico else 100


class BudgetHold(models.Model):
    """What is set aside in a window for a call that is open."""

    call_id = models.UUIDField()
    window = models.ForeignKey(BudgetWindow, models.CASCADE, related_name="holds")
    pico = models.BigIntegerField()
    made_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call_id", "window"], name="budget_hold_once")
        ]

    def __str__(self) -> str:
        return f"{self.pico} for {self.call_id}"
