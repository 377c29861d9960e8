from django.db import migrations

from costs import guards


def create(apps, schema_editor):
    guards.create(schema_editor.connection)


def drop(apps, schema_editor):
    guards.drop(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ("costs", "0003_prices_and_corrections"),
    ]

    operations = [migrations.RunPython(create, drop)]
