"""Django, set up for the site's models and one database."""

from urllib.parse import parse_qs, unquote, urlsplit


def configure(database_url: str) -> None:
    """Once in a process, before the models are imported."""
    import django
    from django.conf import settings

    url = urlsplit(database_url)
    socket = parse_qs(url.query).get("host", [""])[0]
    settings.configure(
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "tests.django_site",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": unquote(url.path.removeprefix("/")),
                "USER": unquote(url.username or ""),
                "PASSWORD": unquote(url.password or ""),
                "HOST": url.hostname or socket,
                "PORT": str(url.port or ""),
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
