"""Apache Kafka: one node that is broker and controller."""

import subprocess
import threading
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.errors import ServerError
from deploy.local.local_settings import server_environment
from deploy.local.processes.ports import LOOPBACK, accepts, free_port
from deploy.local.processes.process import Launch
from deploy.local.servers.java import java
from deploy.local.servers.server import Server

HEAP_MB = (256, 512)
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=2000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"""
# The last two: after SIGKILL the node may register again only when its old session has ended, 9 s
# by default.


class Kafka(Server):
    """Topics are not created by themselves; every listener is on the loopback interface."""

    name: ClassVar[str] = "kafka"
    variable: ClassVar[str] = "FOX_KAFKA_BOOTSTRAP"

    def __init__(self, directory: Path, abandoned: threading.Event, jars: Sequence[Path]) -> None:
        super().__init__(directory, abandoned)
        self._class_path = ":".join(str(jar) for jar in jars)
        self._controller_port = free_port()

    @property
    def url(self) -> str:
        """As `bootstrap.servers` wants it."""
        return f"{LOOPBACK}:{self.port}"

    def _launch(self) -> Launch:
        logs = self.data / "logs"
        properties = self.data / "server.properties"
        self.data.mkdir(parents=True, exist_ok=True)
        properties.write_text(self._properties(logs), encoding="utf-8")
        if not (logs / "meta.properties").exists():
            self._format(properties)
        return Launch(
            self._java("kafka.Kafka", str(properties)), server_environment(), self.log, self.data
        )

    def _properties(self, logs: Path) -> str:
        """The broker's settings; of two with one name the later holds."""
        return PROPERTIES.format(
            host=LOOPBACK, port=self.port, controller_port=self._controller_port, logs=logs
        )

    def _format_options(self) -> list[str]:
        """More for the command that formats its storage, such as its first users."""
        return []

    def _answers(self) -> bool:
        # The plain connection first: librdkafka would back off for longer than Kafka needs.
        if not accepts(LOOPBACK, self.port):
            return False
        client = AdminClient({"bootstrap.servers": self.url, "log_level": 0})
        try:
            return len(client.list_topics(timeout=2.0).brokers) == 1
        except KafkaException:
            return False

    def _java(self, *arguments: str) -> list[str]:
        options = ["-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", self._class_path]
        return java(self.data / "tmp", HEAP_MB, [*options, *arguments])

    def _format(self, properties: Path) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        tool = self._java("kafka.tools.StorageTool", "format", "--ignore-formatted")
        done = subprocess.run(  # nosec B603 # our own programs and words, no shell
            # Joined by `=`: an id may begin with a dash.
            [
                *tool,
                *(f"--cluster-id={cluster}", f"--config={properties}"),
                *self._format_options(),
            ],
            env=server_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"kafka could not format {properties.parent}:\n{done.stderr[-2000:]}")
