"""`python -m tests.django_site DATABASE_URL`: the site's tables, made by Django's schema editor.

`--sql`: print the statements instead. site-4.2.sql is what that printed in an environment of its own:
    uv venv V && uv pip install --python V 'django==4.2.*' 'psycopg[binary]'
    V/bin/python -m tests.django_site DATABASE_URL --sql > tests/django_site/site-4.2.sql

`--python-defaults`: tests that insert rows as the site does set `tests.as_django` to `on`, and
triggers then fill what Django fills in Python. Without the setting, as for foxstream, they do nothing.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from tests.django_site.configured import configure

_FILL = """
CREATE FUNCTION as_django() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RETURN (
        SELECT jsonb_populate_record(NEW, coalesce(jsonb_object_agg(d.key, d.value), '{}'))
        FROM jsonb_each(TG_ARGV[0]::jsonb) d
        WHERE to_jsonb(NEW) -> d.key = 'null'
    );
END $$
"""
_TRIGGER = """
CREATE TRIGGER as_django BEFORE INSERT ON {} FOR EACH ROW
    WHEN (current_setting('tests.as_django', true) = 'on')
    EXECUTE FUNCTION as_django({})
"""


def main(database_url: str, *options: str) -> None:
    """All tables, with their indexes and foreign keys, in one transaction."""
    configure(database_url)
    from django.apps import apps
    from django.db import connection

    names = ("contenttypes", "auth", "django_site")
    models = [model for name in names for model in apps.get_app_config(name).get_models()]
    with connection.schema_editor(collect_sql="--sql" in options) as editor:
        for model in models:
            editor.create_model(model)
    if "--sql" in options:
        sys.stdout.write("\n".join(editor.collected_sql) + "\n")
    if "--python-defaults" in options:
        with connection.cursor() as cursor:
            for statement in triggers(apps.get_app_config("django_site").get_models()):
                cursor.execute(statement)


def triggers(models: Any) -> Iterator[str]:
    """What fills the defaults of the models."""
    yield _FILL
    for model in models:
        defaults = {
            field.column: field.get_default()
            for field in model._meta.concrete_fields
            if not field.primary_key and field.get_default() is not None
        }
        literal = "'" + json.dumps(defaults).replace("'", "''") + "'"
        yield _TRIGGER.format(model._meta.db_table, literal)


main(*sys.argv[1:])
