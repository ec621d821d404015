"""`python -m tests.django_site DATABASE_URL`: the site's tables, made by Django's schema editor.

`--sql`: print the statements instead. site-4.2.sql is what that printed in an environment of its own:
    uv venv V && uv pip install --python V 'django==4.2.*' 'psycopg[binary]'
    V/bin/python -m tests.django_site DATABASE_URL --sql > tests/django_site/site-4.2.sql
"""

import sys

from tests.django_site.configured import configure


def main(database_url: str, *, sql: bool) -> None:
    """All tables, with their indexes and foreign keys, in one transaction."""
    configure(database_url)
    from django.apps import apps
    from django.db import connection

    names = ("contenttypes", "auth", "django_site")
    models = [model for name in names for model in apps.get_app_config(name).get_models()]
    with connection.schema_editor(collect_sql=sql) as editor:
        for model in models:
            editor.create_model(model)
    if sql:
        sys.stdout.write("\n".join(editor.collected_sql) + "\n")


main(sys.argv[1], sql="--sql" in sys.argv)
