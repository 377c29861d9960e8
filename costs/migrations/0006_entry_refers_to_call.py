import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The column stays as it is: only Django learns what its values refer to."""

    dependencies = [
        ("costs", "0005_budgets"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(model_name="ledgerentry", name="ledger_call"),
                migrations.RemoveIndex(model_name="ledgerentry", name="ledger_unpriced"),
                migrations.RemoveField(model_name="ledgerentry", name="call_id"),
                migrations.AddField(
                    model_name="ledgerentry",
                    name="call",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="entries",
                        to="costs.modelcall",
                    ),
                    preserve_default=False,
                ),
                migrations.AddIndex(
                    model_name="ledgerentry",
                    index=models.Index(fields=["call"], name="ledger_call"),
                ),
                migrations.AddIndex(
                    model_name="ledgerentry",
                    index=models.Index(
                        condition=models.Q(("kind", "unpriced")),
                        fields=["call"],
                        name="ledger_unpriced",
                    ),
                ),
            ]
        ),
    ]
