"""Writes jars.lock: `python -m deploy.local.jars.lock`, needs the network.

Resolves the dependencies of the versions below, downloads every file into a scratch directory and
pins what arrived. Read the difference before it is committed: it is what every machine will trust.
"""

import tempfile
from pathlib import Path

from deploy.local.jars.cache import LOCK, Pin, resolve, sha256

KAFKA = ("org.apache.kafka:kafka_2.13:4.1.2", "org.slf4j:slf4j-simple:1.7.36")
REGISTRY = "io.apicurio:apicurio-registry-app:3.3.3:all@tar.gz"
HEADER = (
    "# SHA-256 and Maven coordinate of every file; written by `python -m deploy.local.jars.lock`"
)


def coordinates(repository: Path) -> list[str]:
    """Kafka's jars with all they need at run time, and the registry's archive."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repository)
    wanted = [context.create_dependency(coordinate) for coordinate in KAFKA]
    direct, transitive = context.resolver.resolve(wanted)
    jars = {f"{one.groupId}:{one.artifactId}:{one.version}" for one in [*direct, *transitive]}
    return [*sorted(jars), REGISTRY]


def main() -> None:
    """Replaces the lock."""
    with tempfile.TemporaryDirectory() as scratch:
        repository = Path(scratch)
        lines = [
            f"{sha256(resolve(Pin('', coordinate), repository))} {coordinate}"
            for coordinate in coordinates(repository)
        ]
    LOCK.write_text("\n".join([HEADER, *lines, ""]), encoding="ascii")


if __name__ == "__main__":
    main()
