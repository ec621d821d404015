"""The image holds what its processes need, and nothing to develop with."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings

import producers.settings
from processors.settings import Settings

ROOT = Path(__file__).parents[2]
LOCKS = {
    "all": ROOT / "requirements.lock",
    "image": ROOT / "deploy" / "docker" / "requirements.lock",
    "build": ROOT / "deploy" / "docker" / "build.lock",
}
KINDS: tuple[type[BaseSettings], ...] = (
    Settings,
    producers.settings.Settings,
    producers.settings.GatewaySettings,
)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def pins(name: str) -> dict[str, str]:
    text = LOCKS[name].read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)(==[^ ]+)", text, re.M))


def variables() -> set[str]:
    """Every variable that a process of ours reads."""
    found = set()
    for kind in KINDS:
        for name, setting in kind.model_fields.items():
            variable = (
                f"{'' if setting.validation_alias else kind.model_config['env_prefix']}{name}"
            )
            found.add(variable.upper())
            if SecretStr in (setting.annotation, *get_args(setting.annotation)):
                found.add(f"{variable}_FILE".upper())
    return found


def ours() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Services of docker-compose.yml that run our image."""
    for name, service in COMPOSE["services"].items():
        if service["image"] == "foxstream":
            yield name, service


def test_the_image_has_the_versions_that_were_tested() -> None:
    """Its locks are parts of requirements.lock, with hashes, and name no index."""
    for name in ("image", "build"):
        assert pins(name).items() <= pins("all").items(), name
        assert "index-url" not in LOCKS[name].read_text(encoding="utf-8")


def test_the_image_has_nothing_to_develop_with() -> None:
    """None of the packages of the extras that a process needs not by itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed, *extras = (
        {re.split(r"[\[><=~!; ]", line)[0] for line in lines}
        for lines in (project["dependencies"], *project["optional-dependencies"].values())
    )

    assert (set().union(*extras) - needed) & pins("image").keys() == set()


def imported(*packages: str) -> set[str]:
    """Top-level modules that the code of packages imports."""
    found: set[str] = set()
    for path in (path for package in packages for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


def test_the_image_has_all_that_its_code_imports() -> None:
    """A package that only a developer has would be missed there, and only there."""
    packages = packages_distributions()
    used = {
        re.sub("[_.]", "-", name).lower()
        for module in imported(
            "schemas", "producers", "processors", "deploy/docker", "deploy/kafka"
        )
        if module not in sys.stdlib_module_names
        for name in packages.get(module, ())
    }

    assert used - {"foxstream"} <= pins("image").keys()


def test_every_setting_of_the_containers_is_one() -> None:
    """A name that no process reads would be a setting that does nothing."""
    image = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(FOX_[A-Z_]+)=", image))
    for _, service in ours():
        named |= service["environment"].keys()

    assert named - variables() == set()


def test_no_program_of_ours_is_the_first_process_of_a_container() -> None:
    """The first process ignores signals without a handler: tini is it, also where a manifest gives arguments."""
    image = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["/usr/bin/tini", "--"]' in image
    assert re.search(r"^ && apt-get install .* tini ", image, re.M)
    for name, service in ours():
        assert "entrypoint" not in service, name
    for manifest in (ROOT / "deploy" / "kubernetes").rglob("*.yaml"):
        for document in yaml.safe_load_all(manifest.read_text(encoding="utf-8")):
            assert not any("command" in each for each in containers(document)), manifest


def containers(value: Any) -> Iterator[Mapping[str, Any]]:
    """Whatever has an image or arguments in a manifest."""
    if isinstance(value, list):
        for each in value:
            yield from containers(each)
    elif isinstance(value, dict):
        if {"image", "args"} & value.keys():
            yield value
        yield from containers(list(value.values()))


def test_our_containers_can_change_nothing_of_their_image() -> None:
    """Read-only, without capabilities, and nothing in them gains rights."""
    assert {"prepare", "gateway", "worker-rows", "worker-imports", "worker-enrichment"} == {
        name for name, _ in ours()
    }
    for name, service in ours():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_everything_listens_on_this_machine_only() -> None:
    """Nothing of docker-compose.yml is encrypted."""
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_hadolint_finds_no_fault() -> None:
    """Of the Dockerfile, with its own rules."""
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("NO HADOLINT: its package is for Linux only")
    done = subprocess.run(
        [program, ROOT / "deploy" / "docker" / "Dockerfile"], capture_output=True, check=False
    )

    assert done.stdout + done.stderr == b""


def test_compose_understands_its_file() -> None:
    """Debian's docker-compose reads docker-compose.yml, and wants the passwords that it names."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("NO COMPOSE: apt install docker-compose")
    chosen = {"FOX_DATABASE_PASSWORD": "a", "FOX_GRAFANA_PASSWORD": "b"}
    for environment, code in ((chosen, 0), ({"FOX_DATABASE_PASSWORD": "a"}, 1)):
        done = subprocess.run(
            [program, "--file", ROOT / "docker-compose.yml", "config", "--quiet"],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
