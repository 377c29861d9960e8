import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0002_wider_epoch"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="retry_of",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="retries",
                to="chat.run",
            ),
        ),
    ]
