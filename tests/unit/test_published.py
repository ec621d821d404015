"""What deployments publish to strangers, and of which versions they are made."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.jars.cache import read_lock
from producers.gateway.api import imports_api
from producers.gateway.application import create_app
from producers.gateway.pages import admin_pages, session_pages
from producers.gateway.uploads import tus
from producers.settings import GatewaySettings, Settings

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE)["services"]
INGRESS = yaml.safe_load(
    (ROOT / "deploy/kubernetes/overlays/production/ingress.yaml").read_text(encoding="utf-8")
)
FIXED_KAFKA = (4, 1, 2)
"""CVE-2026-35554: a producer before it may send a record to another topic."""


def is_published(path: str) -> bool:
    """By the rules of Ingress: exact, or by whole elements of the path."""
    for rule in INGRESS["spec"]["rules"][0]["http"]["paths"]:
        prefix = rule["path"].rstrip("/")
        if path == rule["path"] or (
            rule["pathType"] == "Prefix" and (path == prefix or path.startswith(f"{prefix}/"))
        ):
            return True
    return False


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz", "/livez", "/docs", "/openapi.json", "/redoc", "/anything"]
)
def test_what_is_for_the_cluster_is_not_published(path: str) -> None:
    assert not is_published(path)


def test_what_people_and_programs_call_is_published(tmp_path: Path) -> None:
    """Each route that is not for the cluster."""
    app = create_app(Settings(), GatewaySettings(spool=tmp_path))
    routers = (imports_api.router, tus.router, session_pages.router, admin_pages.router)
    routes = [*app.routes, *chain.from_iterable(router.routes for router in routers)]
    named = {re.sub(r"\{[^}]*\}", "x", path) for r in routes if (path := getattr(r, "path", None))}
    paths = named - {"/static"} | {"/static/x.css"}

    hidden = {path for path in paths if not is_published(path)}

    assert hidden == {"/metrics", "/readyz", "/livez", "/docs", "/openapi.json"}
    assert len(paths) > 15


def test_compose_has_no_password_of_its_own() -> None:
    """Who starts it chooses them; without one it does not start."""
    named = re.findall(r"\$\{(\w*PASSWORD\w*)(.*?)\}", COMPOSE_FILE)

    assert {name for name, _ in named} == {"FOX_DATABASE_PASSWORD", "FOX_GRAFANA_PASSWORD"}
    assert [rest for _, rest in named if not rest.startswith(":?")] == []
    for service in COMPOSE.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or ("://" in str(value) and "@" in str(value)):
                assert "${" in str(value), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def images() -> Iterator[str]:
    """Of other makers, in every file that names some."""
    files = [*(ROOT / "deploy").rglob("*.yaml"), ROOT / "docker-compose.yml"]
    for path in [*files, ROOT / "deploy" / "docker" / "Dockerfile"]:
        text = path.read_text(encoding="utf-8")
        yield from re.findall(r"^(?:\s*(?:- )?(?:image|imageName):\s*|FROM )(\S+)", text, re.M)


def test_images_have_exact_versions() -> None:
    """The same image tomorrow, as far as a tag can say so: docs/security.md shows how to pin digests."""
    found = set(images()) - {"foxstream"}

    assert len(found) >= 7
    for image in found:
        assert re.search(r":v?[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z]+)*$", image), image
    assert "python:3.12.12-slim-bookworm" in found


def test_kafka_has_the_fix() -> None:
    """Of the embedded servers and of the images."""
    versions = [pin.parts[2] for pin in read_lock() if pin.parts[0] == "org.apache.kafka"]
    versions += [image.rpartition(":")[2] for image in images() if "/kafka:" in image]

    assert len(versions) > 10
    for version in versions:
        assert tuple(map(int, version.split("."))) >= FIXED_KAFKA, version
