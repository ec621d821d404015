"""The embedded stack, with its real servers."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local import stack_state
from deploy.local.errors import DirectoryInUseError, JarError, LocalStackError, ServerError
from deploy.local.jars.cache import JarCache, Pin, sha256
from deploy.local.local_settings import own_environment
from deploy.local.processes.kept_process import FIRST_PAUSE_S
from deploy.local.processes.ports import free_port
from deploy.local.processes.process import GuardedProcess, Launch
from deploy.local.servers import unprivileged
from deploy.local.stack import Stack

SCHEMA = '{"type": "record", "name": "Row", "fields": [{"name": "name", "type": "string"}]}'
ADDRESSES = ("FOX_KAFKA_BOOTSTRAP", "FOX_SCHEMA_REGISTRY_URL", "FOX_DATABASE_URL")
ROOT = Path(__file__).parents[2]
# Prints its child's id, then waits; the child ignores SIGTERM.
STUBBORN_PARENT = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal, time; "
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('set', flush=True); time.sleep(600)"],
    stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture(scope="module", autouse=True)
def no_existing_servers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in (*ADDRESSES, "FOX_DATABASE_URL_FILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below a directory that only this user can pass, as a clone in a home often is."""
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    return private / "a b" / "data"


@pytest.fixture(scope="module")
def stack(directory: Path) -> Iterator[Stack]:
    with Stack(directory, keep_schemas=True) as running:
        yield running


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    producer.produce(topic, value, on_delivery=lambda error, _message: failures.append(error))
    assert producer.flush(20) == 0
    assert failures == [None]


def consume(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        value: bytes | None = message.value()
        return value
    finally:
        consumer.close()


def create_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)


def register(url: str) -> int:
    answer = httpx.post(f"{url}/subjects/rows-value/versions", json={"schema": SCHEMA}, timeout=20)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


def soon(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.05)
    return True


def family(pids: list[int]) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in pids]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it may end between the two
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def pids(stack: Stack) -> list[int]:
    found = [stack.kafka.pid, stack.registry.pid, stack.postgres.pid]
    return [pid for pid in found if pid is not None]


def cli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_every_server_does_its_work(stack: Stack) -> None:
    assert set(stack.environment) == set(ADDRESSES)
    create_topic(stack.environment["FOX_KAFKA_BOOTSTRAP"], "hello")
    produce(stack.environment["FOX_KAFKA_BOOTSTRAP"], "hello", b"world")
    assert consume(stack.environment["FOX_KAFKA_BOOTSTRAP"], "hello") == b"world"
    assert register(stack.environment["FOX_SCHEMA_REGISTRY_URL"]) > 0
    with psycopg.connect(stack.environment["FOX_DATABASE_URL"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_keeps_its_promises_and_sorts_by_code_point(stack: Stack) -> None:
    with psycopg.connect(stack.environment["FOX_DATABASE_URL"]) as connection:
        for name, value in (
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("server_encoding", "UTF8"),
        ):
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
        rows = connection.execute("SELECT x FROM unnest('{é,a,Z}'::text[]) AS x ORDER BY x")
        assert [row[0] for row in rows] == ["Z", "a", "é"]
        assert connection.execute("SELECT lower('ÉCOLE')").fetchone() == ("école",)


def test_topics_are_not_created_by_themselves(stack: Stack) -> None:
    admin = AdminClient(
        {"log_level": 0, "bootstrap.servers": stack.environment["FOX_KAFKA_BOOTSTRAP"]}
    )
    assert admin.list_topics("never-made", timeout=10).topics["never-made"].error is not None


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    listening = {
        connection.laddr.ip
        for process in family(pids(stack))
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_postgres_does_not_run_as_root(stack: Stack) -> None:
    assert stack.postgres.pid is not None
    assert psutil.Process(stack.postgres.pid).uids().effective != 0


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_servers_come_back_on_the_same_port_with_their_data(stack: Stack, way: str) -> None:
    before = dict(stack.environment)
    topic = f"kept-{way}"
    create_topic(before["FOX_KAFKA_BOOTSTRAP"], topic)
    produce(before["FOX_KAFKA_BOOTSTRAP"], topic, b"kept")
    schema_id = register(before["FOX_SCHEMA_REGISTRY_URL"])
    with psycopg.connect(before["FOX_DATABASE_URL"]) as connection:
        connection.execute(f"CREATE TABLE kept_{way} AS SELECT 7 AS n")
    open_connection = psycopg.connect(before["FOX_DATABASE_URL"])
    for server in (stack.postgres, stack.registry, stack.kafka):
        members = family([server.pid or 0])
        getattr(server, way)()
        assert server.pid is None
        assert alive(members) == []
        server.start()
    open_connection.close()
    assert stack.environment == before
    assert consume(before["FOX_KAFKA_BOOTSTRAP"], topic) == b"kept"
    subjects = f"{before['FOX_SCHEMA_REGISTRY_URL']}/subjects/rows-value/versions/1"
    assert httpx.get(subjects, timeout=20).json()["id"] == schema_id
    with psycopg.connect(before["FOX_DATABASE_URL"]) as connection:
        assert connection.execute(f"SELECT n FROM kept_{way}").fetchone() == (7,)


def test_a_paused_server_keeps_connections_open_and_answers_nothing(stack: Stack) -> None:
    url = stack.environment["FOX_SCHEMA_REGISTRY_URL"]
    with psycopg.connect(stack.environment["FOX_DATABASE_URL"]) as connection:
        stack.postgres.pause()
        stack.registry.pause()
        try:
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(f"{url}/subjects", timeout=0.5)
            members = family([stack.postgres.pid or 0])
            states = {member.status() for member in members} - {psutil.STATUS_ZOMBIE}
            assert states == {psutil.STATUS_STOPPED}
        finally:
            stack.postgres.resume()
            stack.registry.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert httpx.get(f"{url}/subjects", timeout=20).status_code == 200


def test_a_paused_server_can_be_stopped(stack: Stack) -> None:
    stack.postgres.pause()
    stack.postgres.stop()
    assert stack.postgres.pid is None
    stack.postgres.start()
    assert stack.postgres.pid is not None


def test_postgres_starts_over_a_pid_file_whose_process_is_another_program(stack: Stack) -> None:
    stack.postgres.kill()
    pid_file = stack.postgres.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:], ""]))
    stack.postgres.start()
    assert stack.postgres.pid is not None


def test_a_spawned_process_sees_the_addresses_and_writes_to_its_log(stack: Stack) -> None:
    code = "import os; print(os.environ['FOX_DATABASE_URL'], os.environ['EXTRA'])"
    process = stack.spawn("printer", [sys.executable, "-c", code], {"EXTRA": "extra"})
    assert process.wait(20) == 0
    text = (stack.directory / "logs" / "printer.log").read_text()
    assert text.split() == [stack.environment["FOX_DATABASE_URL"], "extra"]


def test_a_process_that_must_complete_is_reported_with_its_log(stack: Stack) -> None:
    stack.complete("fine", [sys.executable, "-c", "pass"])
    with pytest.raises(ServerError, match=r"exit code 3:\n.*too bad"):
        stack.complete("broken", [sys.executable, "-c", "print('too bad'); raise SystemExit(3)"])


def test_a_second_stack_in_the_same_directory_is_refused(stack: Stack) -> None:
    with pytest.raises(DirectoryInUseError, match="already running"), Stack(stack.directory):
        pass
    assert cli("up", "--directory", str(stack.directory)).returncode == 0


def test_stop_kills_what_ignores_it_with_all_its_descendants(tmp_path: Path) -> None:
    launch = Launch(
        [sys.executable, "-c", STUBBORN_PARENT], own_environment(), tmp_path / "log", grace_s=0.3
    )
    process = GuardedProcess("stubborn", launch)
    assert soon(lambda: len(process.log_tail().split()) == 1, 60)
    members = family([process.pid])
    assert len(members) == 2
    process.stop()
    assert process.returncode is not None
    assert soon(lambda: alive(members) == [], 60)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no-such-program"):
        GuardedProcess("ghost", Launch(["no-such-program"], own_environment(), tmp_path / "log"))


def test_a_server_that_ends_at_once_shows_its_log_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    with pytest.raises(ServerError, match=r"postgres ended at once:\n.*postgresql\.conf"):
        Stack(tmp_path, {"postgres"}).start()
    assert stack_state.read(tmp_path) is None


def test_an_existing_server_is_used_and_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: Stack
) -> None:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    with Stack(tmp_path) as other:
        assert other.environment == stack.environment
        with pytest.raises(LocalStackError, match="no kafka of its own"):
            _ = other.kafka
        assert cli("status", "--directory", str(tmp_path)).returncode == 0


def test_an_unknown_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such server: redis"):
        Stack(tmp_path, {"redis"})


def test_sigkill_of_the_supervisor_ends_every_server(tmp_path: Path) -> None:
    code = f"""
import json, sys, threading
from pathlib import Path
from deploy.local.stack import Stack
stack = Stack(Path({str(tmp_path)!r}))
stack.start()
worker = stack.spawn("worker", [sys.executable, "-c", "import time; time.sleep(600)"])
stack.postgres.pause()
print(json.dumps([stack.kafka.pid, stack.registry.pid, stack.postgres.pid, worker.pid]), flush=True)
threading.Event().wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        members = family(json.loads(supervisor.stdout.readline()))
        assert len(members) > 6
        supervisor.kill()
    assert soon(lambda: alive(members) == [], 60)
    assert stack_state.read(tmp_path) is None


def test_command_line(tmp_path: Path) -> None:
    arguments = ("--directory", str(tmp_path / "data"))
    assert cli("down", *arguments).returncode == 0
    assert cli("status", *arguments).returncode == 5
    missing = cli("env", *arguments)
    assert (missing.returncode, missing.stdout) == (5, "")
    assert "no stack is running" in missing.stderr

    started = cli("up", "--detach", *arguments)
    try:
        assert started.returncode == 0, started.stderr
        assert f"foxstream-local env --directory {tmp_path / 'data'}" in started.stderr
        again = cli("up", "--detach", *arguments)
        assert again.returncode == 0
        assert "already running" in again.stderr
        told = cli("status", *arguments)
        assert told.returncode == 0
        assert [line.split()[:2] for line in told.stdout.splitlines()] == [
            ["kafka", "up"],
            ["registry", "up"],
            ["postgres", "up"],
        ]
        exported = [
            line.removeprefix("export ") for line in cli("env", *arguments).stdout.splitlines()
        ]
        values = dict(line.split("=", 1) for line in exported)
        assert set(values) == set(ADDRESSES)
        with psycopg.connect(values["FOX_DATABASE_URL"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        os.kill(int(told.stdout.splitlines()[2].split()[-1]), signal.SIGKILL)
        one_down = cli("status", *arguments)
        assert one_down.returncode == 5
        assert one_down.stdout.splitlines()[2].split()[:2] == ["postgres", "down"]
    finally:
        assert cli("down", *arguments).returncode == 0
    assert cli("status", *arguments).returncode == 5


def test_a_preparation_of_the_worker_that_fails_stops_everything(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        failed = cli(
            "up",
            "--with-worker",
            "--directory",
            str(tmp_path),
            **dict.fromkeys(ADDRESSES, f"127.0.0.1:{mute.getsockname()[1]}"),
        )
    assert failed.returncode == 5
    assert "worker-migrate ended with exit code" in failed.stderr
    assert stack_state.read(tmp_path) is None


def test_a_shell_that_holds_the_addresses_of_a_stopped_stack(tmp_path: Path) -> None:
    failed = cli("up", "--directory", str(tmp_path), FOX_KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}")
    assert failed.returncode == 5
    assert "unset FOX_KAFKA_BOOTSTRAP" in failed.stderr
    assert stack_state.read(tmp_path) is None


def test_wrong_usage_has_exit_code_2() -> None:
    assert cli("sideways").returncode == 2


def test_a_state_file_of_a_dead_process_is_not_believed(tmp_path: Path) -> None:
    stale = {"pid": os.getpid(), "ready": True, "entries": [], "environment": {"A": "b"}}
    (tmp_path / stack_state.STATE).write_text(json.dumps(stale))
    (tmp_path / stack_state.LOCK).touch()
    assert stack_state.read(tmp_path) is None
    assert cli("down", "--directory", str(tmp_path)).returncode == 0


def test_a_password_is_not_shown() -> None:
    entry = stack_state.Entry("postgres", "postgresql://fox:secret@db:5432/fox", None, ours=False)
    assert "secret" not in entry.shown
    assert urllib.parse.urlsplit(entry.shown).hostname == "db"
    assert entry.address == ("db", 5432)


def test_a_jar_with_another_digest_is_refused(tmp_path: Path) -> None:
    pin = Pin("0" * 64, "org.example:thing:1.0")
    jars = JarCache(tmp_path, lambda _sentence: None, [pin])
    jar = tmp_path / "jars" / pin.file_name
    jar.parent.mkdir()
    jar.write_bytes(b"not the jar")
    with pytest.raises(JarError, match=r"is not the pinned org\.example:thing:1\.0.*jars\.lock"):
        jars.kafka()
    pinned = Pin(sha256(jar), pin.coordinate)
    assert JarCache(tmp_path, lambda _sentence: None, [pinned]).kafka() == [jar]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands PostgreSQL to another user")
def test_root_copies_programs_that_the_other_user_cannot_reach(
    tmp_path: Path, directory: Path
) -> None:
    private = tmp_path / "private"
    package = private / "package"
    package.mkdir(parents=True)
    (package / "program").write_text("x")
    private.chmod(0o700)
    owner = unprivileged.owner_for(tmp_path / "nothing")
    assert owner is not None
    assert not unprivileged.reachable(package, owner)
    copy = unprivileged.copied(package, f"test-{os.getpid()}")
    try:
        assert unprivileged.reachable(copy, owner)
        assert (copy / "program").read_text() == "x"
    finally:
        shutil.rmtree(copy.parent)


FAILING = """
import sys, time
from pathlib import Path
runs = Path(sys.argv[1])
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
if len(runs.read_text()) < 3:
    sys.exit(5)
time.sleep(600)
"""


@pytest.fixture
def without_servers(tmp_path: Path) -> Iterator[Stack]:
    """A stack of processes alone."""
    with Stack(tmp_path / "stack", set()) as running:
        yield running


def test_a_process_that_fails_is_started_again(without_servers: Stack, tmp_path: Path) -> None:
    """As a worker that gives up while its servers sleep; after a pause that grows."""
    stack = without_servers
    runs = tmp_path / "runs"
    kept = stack.keep("failing", [sys.executable, "-c", FAILING, str(runs)])

    began = time.monotonic()
    while not (runs.exists() and len(runs.read_text()) == 3 and kept.process.running):
        assert time.monotonic() - began < 60
        stack.look()
        threading.Event().wait(0.05)

    assert time.monotonic() - began > FIRST_PAUSE_S + 2 * FIRST_PAUSE_S
    [entry] = [entry for entry in read_state(stack).entries if entry.name == "failing"]
    assert entry.pid == kept.process.pid
    assert re.fullmatch(r"restart 2 after exit code 5 at \d\d:\d\d:\d\d", entry.note)
    status = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", "status", "--directory", str(stack.directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert entry.note in status.stdout


def read_state(stack: Stack) -> stack_state.State:
    found = stack_state.read(stack.directory)
    assert found is not None
    return found


def test_a_process_that_ends_in_order_stays_down(without_servers: Stack) -> None:
    """Somebody has stopped it."""
    stack = without_servers
    kept = stack.keep("ending", [sys.executable, "-c", ""])
    assert kept.process.wait(60) == 0
    pid = kept.process.pid

    stack.look()

    assert (kept.process.pid, kept.note) == (pid, "")
