from django.db import migrations, models

import chat.models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0001_conversations"),
    ]

    operations = [
        migrations.AlterField(
            model_name="chatsession",
            name="epoch",
            field=models.CharField(default=chat.models.new_epoch, max_length=16),
        ),
    ]
