"""What deploy/kubernetes says is valid, closed, and agrees with the code."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes.kafka import FILES
from schemas.topics import ROW_PARTITIONS
from tests.unit.test_image import variables

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("small", "production")
KUBERNETES = "1.37"
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]

Resource = dict[str, Any]


@cache
def rendered(overlay: str) -> list[Resource]:
    """What `kubectl apply --kustomize` would send."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("NO KUSTOMIZE: kubectl is not installed")
    done = subprocess.run(
        [kubectl, "kustomize", FOLDER / "overlays" / overlay],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> Iterator[Resource]:
    return (resource for resource in rendered(overlay) if resource["kind"] in kinds)


def pods(overlay: str) -> Iterator[tuple[str, Resource]]:
    """Specifications of pods, by the name of what makes them."""
    for resource in of_kind(overlay, "Deployment", "StatefulSet", "Job"):
        yield resource["metadata"]["name"], resource["spec"]["template"]["spec"]


def ours(overlay: str) -> Iterator[tuple[str, Resource, Resource]]:
    """Pods that run our image, and their container."""
    for name, pod in pods(overlay):
        for container in pod["containers"]:
            if container["image"].startswith("foxstream"):
                yield name, pod, container


def test_topics_and_users_are_those_of_the_code() -> None:
    """`python -m deploy.kubernetes` would change nothing."""
    for path, content in FILES.items():
        assert path.read_text(encoding="utf-8") == content(), path


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kinds_of_kubernetes_itself_are_valid(overlay: str) -> None:
    """Strictly: a member that Kubernetes does not know is a fault."""
    checked = 0
    for resource in rendered(overlay):
        group = resource["apiVersion"].rpartition("/")[0]
        if "." in group and not group.endswith(".k8s.io"):
            continue  # somebody else's
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        checked += 1

    assert checked > 20


def crds() -> Mapping[tuple[str, str], Resource]:
    """Schemas of the operators' own resources, by their version and kind, where they are at hand."""
    places = (
        os.environ.get("CRDS", ""),
        ROOT.parent / "shared/crds",
        ROOT.parents[1] / "shared/crds",
    )
    folder = next((Path(place) for place in places if place and Path(place).is_dir()), None)
    if folder is None:
        pytest.skip("NO CRDS: set CRDS to a folder with those that docs/security.md lists")
    found: dict[tuple[str, str], Resource] = {}
    for path in folder.glob("*.yaml"):
        for crd in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for version in crd["spec"]["versions"]:
                name = f"{crd['spec']['group']}/{version['name']}"
                schema = strict(version["schema"]["openAPIV3Schema"])
                found[name, crd["spec"]["names"]["kind"]] = schema
    return found


def strict(schema: Any) -> Any:
    """As the API server prunes: an object takes the members that it names, and no others."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(each) for name, each in schema.items()}
    open_ = "additionalProperties" in found or found.get("x-kubernetes-preserve-unknown-fields")
    if found.get("type") == "object" and found.get("properties") and not open_:
        found["additionalProperties"] = False
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operators_resources_are_valid(overlay: str) -> None:
    """Strictly, by the schemas that the operators install."""
    schemas = crds()
    own = [
        resource
        for resource in rendered(overlay)
        if (resource["apiVersion"], resource["kind"]) in schemas
    ]
    for resource in own:
        schema = schemas[resource["apiVersion"], resource["kind"]]
        schema["properties"] |= {name: {} for name in ("apiVersion", "kind", "metadata")}
        jsonschema.validate(resource, schema)

    assert {"Kafka", "KafkaTopic", "KafkaUser", "Cluster", "ServiceMonitor"} <= {
        resource["kind"] for resource in own
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_our_pods_have_no_rights(overlay: str) -> None:
    """No root, no capability, no writable image, no token of Kubernetes, and a limit of memory."""
    found = {name for name, _, _ in ours(overlay)}
    assert {"gateway", "prepare", "worker-enrichment", "worker-imports", "worker-rows"} == found
    for name, pod, container in ours(overlay):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["limits"]["memory"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_known_and_hold_no_secret(overlay: str) -> None:
    """Each FOX_ name is a setting that a process reads; secrets stand in files that are mounted."""
    [common] = [r for r in of_kind(overlay, "ConfigMap") if r["metadata"]["name"] == "foxstream"]
    known = variables()
    for name, _, container in ours(overlay):
        environment = {each["name"]: each["value"] for each in container.get("env", ())}
        settings = {**common["data"], **environment}
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]

        assert settings.keys() - known == set(), name
        for variable, value in settings.items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), (name, variable)
            if value.startswith("/secrets/"):
                assert os.path.dirname(value) in mounted, (name, variable)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_volumes_and_selectors_lead_somewhere(overlay: str) -> None:
    """What runs is a command of ours; a mount has its volume; what selects pods finds some."""
    labels = [
        resource["spec"]["template"]["metadata"]["labels"]
        for resource in of_kind(overlay, "Deployment", "StatefulSet", "Job")
    ]
    for name, _, container in ours(overlay):
        words = re.findall(r"foxstream\S*", " ".join(container["args"]))
        assert words, name
        assert set(words) <= SCRIPTS.keys(), name
    for resource in of_kind(overlay, "Deployment", "StatefulSet", "Job"):
        pod = resource["spec"]["template"]["spec"]
        claims = resource["spec"].get("volumeClaimTemplates", ())
        volumes = {each["name"] for each in pod.get("volumes", ())}
        volumes |= {each["metadata"]["name"] for each in claims}
        for container in pod["containers"]:
            mounts = {each["name"] for each in container["volumeMounts"]}
            assert mounts <= volumes, resource["metadata"]["name"]
    for resource in of_kind(overlay, "Service", "PodDisruptionBudget"):
        selector = resource["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        assert any(wanted <= each.items() for each in labels), resource["metadata"]["name"]


def reaches(overlay: str, name: str, port: int) -> bool:
    """Whether the policies let pods of that name out to a port."""
    for policy in of_kind(overlay, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        values = [v for each in selector.get("matchExpressions", ()) for v in each["values"]]
        values.append(selector.get("matchLabels", {}).get("app.kubernetes.io/name"))
        ports = [p["port"] for rule in policy["spec"].get("egress", ()) for p in rule["ports"]]
        if name in values and port in ports:
            return True
    return False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_pod_reaches_what_it_needs_and_no_more(overlay: str) -> None:
    """The gateway not PostgreSQL, and only the enrichment the world."""
    kafka, registry, postgres, world = 9093, 8443, 5432, 443
    workers = {"worker-rows", "worker-imports", "worker-enrichment"}
    for name in {"gateway", "prepare", *workers}:
        assert reaches(overlay, name, kafka), name
        assert reaches(overlay, name, registry), name
        assert reaches(overlay, name, postgres) == (name != "gateway"), name
        assert reaches(overlay, name, world) == (name == "worker-enrichment"), name


@pytest.mark.parametrize(
    ("request_", "denied"),
    [
        (":GET:/apis/ccompat/v7/schemas/ids/1", "0"),  # nobody: asked for a password
        ("foxstream:GET:/apis/ccompat/v7/schemas/ids/1", "0"),
        ("foxstream:POST:/apis/ccompat/v7/subjects/fox.rows.ville-value", "0"),
        ("foxstream:POST:/apis/ccompat/v7/subjects/fox.rows.ville-value/versions", "1"),
        ("foxstream:PUT:/apis/ccompat/v7/config/fox.rows.ville-value", "1"),
        ("foxstream:DELETE:/apis/ccompat/v7/subjects/fox.rows.ville-value", "1"),
        ("foxstream-admin:PUT:/apis/ccompat/v7/config/fox.rows.ville-value", "0"),
        ("somebody:GET:/apis/ccompat/v7/subjects", "1"),
    ],
)
def test_who_may_write_to_the_registry(request_: str, denied: str) -> None:
    """Workers and gateways read; only the job that prepares an upgrade registers schemas."""
    [text] = [
        resource["data"]["default.conf"]
        for resource in of_kind("production", "ConfigMap")
        if resource["metadata"]["name"].startswith("registry-proxy")
    ]
    rules = re.findall(r'"~([^"]+)" ([01]);', text)
    found = next((answer for rule, answer in rules if re.search(rule, request_)), "1")
    assert (len(rules), found) == (4, denied)
    for name, pod in pods("production"):
        environment = {
            each["name"]: each.get("value")
            for container in pod["containers"]
            for each in container.get("env", ())
        }
        user = environment.get("FOX_SCHEMA_REGISTRY_USERNAME")
        assert user == ("foxstream-admin" if name == "prepare" else None), name


def test_a_model_in_the_private_network() -> None:
    """An overlay with the component lets the enrichment, and nobody else, to pods of a model."""
    files = FOLDER / "components" / "private-model"
    component = yaml.safe_load((files / "kustomization.yaml").read_text(encoding="utf-8"))
    [policy] = [
        yaml.safe_load((files / name).read_text(encoding="utf-8"))
        for name in component["resources"]
    ]
    spec = policy["spec"]
    [pods, machine] = spec["egress"]

    assert component["kind"] == "Component"
    assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "worker-enrichment"}
    assert pods["to"] == [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"foxstream/model": "true"}}}
    ]
    # Nobody's address until somebody writes theirs (RFC 5737).
    assert machine["to"] == [{"ipBlock": {"cidr": "192.0.2.1/32"}}]
    kubernetes_validate.validate(policy, KUBERNETES, strict=True)


def test_no_more_workers_than_partitions() -> None:
    """A further one would have nothing to do."""
    [scaled] = of_kind("production", "ScaledObject")

    assert scaled["spec"]["maxReplicaCount"] == ROW_PARTITIONS
    assert scaled["spec"]["fallback"]["replicas"] <= ROW_PARTITIONS


def test_every_secret_that_people_make_is_documented() -> None:
    """docs/security.md names those that no operator makes."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    made = {"fox-cluster-ca-cert", "fox-postgres-ca", "registry-tls"}  # by the operators
    made |= {resource["metadata"]["name"] for resource in of_kind("production", "KafkaUser")}
    named = {
        volume["secret"]["secretName"]
        for _, pod in pods("production")
        for volume in pod.get("volumes", ())
        if "secret" in volume
    }

    assert {name for name in named - made if f"`{name}`" not in text} == set()
