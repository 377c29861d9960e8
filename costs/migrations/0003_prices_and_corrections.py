import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import costs.rates


class Migration(migrations.Migration):
    dependencies = [
        ("costs", "0002_cost_reset"),
    ]

    operations = [
        migrations.CreateModel(
            name="PriceOverride",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "provider",
                    models.CharField(
                        help_text="As in openai:gpt-4o; before the colon.", max_length=40
                    ),
                ),
                (
                    "model_pattern",
                    models.CharField(
                        help_text="The model's name, or a pattern: * is any text. The most exact pattern counts.",
                        max_length=160,
                    ),
                ),
                (
                    "service_tier",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Empty is the standard one.",
                        max_length=20,
                    ),
                ),
                (
                    "valid_from",
                    models.DateTimeField(
                        help_text="UTC. Of rows with the same pattern the latest that has begun counts; of the same time, the one that was added last."
                    ),
                ),
                (
                    "rates",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='USD per million tokens as text: {"input": "0.15", "output": "0.60"}; for web_search, per thousand. By prompt size: {"input": {"0": "1.25", "200000": "2.50"}}. A class that is left out is unpriced, but reasoning costs as output. Empty: the list price counts again.',
                        validators=[costs.rates.validate_rates],
                    ),
                ),
                ("note", models.CharField(blank=True, default="", max_length=200)),
                (
                    "created_by",
                    models.CharField(blank=True, default="", editable=False, max_length=150),
                ),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "base_manager_name": "objects",
            },
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="ledger_charge_is_priced",
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="ledger_unpriced_has_no_amount",
        ),
        migrations.AddField(
            model_name="modelcall",
            name="service_tier",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.AddField(
            model_name="modelcall",
            name="stated_pico",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="pricesnapshot",
            name="service_tier",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="reverses",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversed_by",
                to="costs.ledgerentry",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind__in", ["charge", "adjustment"]), _negated=True),
                    models.Q(
                        ("amount_pico__gte", 0), ("price__isnull", False), ("quantity__gte", 0)
                    ),
                    _connector="OR",
                ),
                name="ledger_charge_is_priced",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount_pico__isnull", True), ("kind", "unpriced")),
                    ("kind", "reversal"),
                    models.Q(
                        models.Q(("kind", "unpriced"), _negated=True),
                        ("amount_pico__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="ledger_unpriced_has_no_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["charge", "reversal", "adjustment", "unpriced"])),
                name="ledger_kind_is_known",
            ),
        ),
        migrations.AddIndex(
            model_name="priceoverride",
            index=models.Index(fields=["provider", "valid_from"], name="price_override_provider"),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(
                condition=models.Q(("kind", "unpriced")), fields=["call_id"], name="ledger_unpriced"
            ),
        ),
    ]
