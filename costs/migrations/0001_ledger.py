import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="PriceSnapshot",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("source", models.CharField(max_length=60)),
                ("provider", models.CharField(max_length=40)),
                ("model", models.CharField(max_length=160)),
                ("currency", models.CharField(default="USD", max_length=3)),
                ("rates", models.JSONField()),
                (
                    "recorded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="ModelCall",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("run_id", models.UUIDField()),
                ("attempt", models.PositiveSmallIntegerField()),
                ("session_key", models.CharField(max_length=240)),
                ("owner_key", models.CharField(max_length=80)),
                ("provider", models.CharField(max_length=40)),
                ("requested_model", models.CharField(max_length=160)),
                ("served_model", models.CharField(blank=True, max_length=160)),
                ("provider_request_id", models.CharField(blank=True, max_length=160)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("complete", "Complete"),
                            ("truncated", "Truncated"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                            ("abandoned", "Abandoned"),
                        ],
                        default="open",
                        max_length=12,
                    ),
                ),
                (
                    "usage_source",
                    models.CharField(
                        choices=[
                            ("provider", "Provider"),
                            ("estimated", "Estimated"),
                            ("none", "None"),
                        ],
                        default="none",
                        max_length=12,
                    ),
                ),
                ("usage_raw", models.JSONField(blank=True, default=dict)),
                ("usage_by_class", models.JSONField(blank=True, default=dict)),
                ("prompt_tokens", models.BigIntegerField(default=0)),
                ("completion_tokens", models.BigIntegerField(default=0)),
                ("flags", models.JSONField(blank=True, default=list)),
                ("error_code", models.CharField(blank=True, max_length=40)),
                ("started_at", models.DateTimeField()),
                ("first_token_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "price",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="costs.pricesnapshot",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["run_id"], name="model_call_run"),
                    models.Index(fields=["session_key", "started_at"], name="model_call_session"),
                    models.Index(fields=["owner_key", "started_at"], name="model_call_owner"),
                    models.Index(
                        condition=models.Q(("status", "open")),
                        fields=["started_at"],
                        name="model_call_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("ended_at__isnull", True), ("status", "open")),
                            models.Q(
                                models.Q(("status", "open"), _negated=True),
                                ("ended_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="model_call_open_has_no_end",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("idempotency_key", models.CharField(max_length=160, unique=True)),
                ("call_id", models.UUIDField()),
                ("run_id", models.UUIDField()),
                ("session_key", models.CharField(max_length=240)),
                ("owner_key", models.CharField(max_length=80)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("charge", "Charge"),
                            ("reversal", "Reversal"),
                            ("adjustment", "Adjustment"),
                            ("unpriced", "Unpriced"),
                        ],
                        max_length=12,
                    ),
                ),
                ("token_class", models.CharField(max_length=24)),
                ("quantity", models.BigIntegerField()),
                ("rate_pico_per_m", models.BigIntegerField(null=True)),
                ("amount_pico", models.BigIntegerField(null=True)),
                ("currency", models.CharField(default="USD", max_length=3)),
                ("is_estimate", models.BooleanField(default=False)),
                ("call_started_at", models.DateTimeField()),
                (
                    "recorded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "reverses",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="costs.ledgerentry",
                    ),
                ),
                (
                    "price",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="costs.pricesnapshot",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "ledger entries",
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["run_id"], name="ledger_run"),
                    models.Index(fields=["call_id"], name="ledger_call"),
                    models.Index(fields=["session_key", "call_started_at"], name="ledger_session"),
                    models.Index(fields=["owner_key", "call_started_at"], name="ledger_owner"),
                    models.Index(fields=["call_started_at"], name="ledger_time"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "charge"), _negated=True),
                            models.Q(
                                ("amount_pico__gte", 0),
                                ("price__isnull", False),
                                ("quantity__gte", 0),
                            ),
                            _connector="OR",
                        ),
                        name="ledger_charge_is_priced",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amount_pico__isnull", True), ("kind", "unpriced")),
                            models.Q(
                                models.Q(("kind", "unpriced"), _negated=True),
                                ("amount_pico__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="ledger_unpriced_has_no_amount",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "reversal"), ("reverses__isnull", False)),
                            models.Q(
                                models.Q(("kind", "reversal"), _negated=True),
                                ("reverses__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="ledger_reversal_names_entry",
                    ),
                ],
            },
        ),
    ]
