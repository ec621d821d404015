"""A server that plays OpenAI's chat completions by a script, and records every call.

    with ScriptedOpenAI() as server:
        server.script = lambda call: Reply(status=429, headers={"Retry-After": "2"})

Without a script it answers every prompt with a text that passes. The scripts of one server run in
its thread, one call at a time.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from socket import SHUT_RDWR
from time import monotonic
from typing import Any, Self

from processors.texts.content.prompts import TRIAL, TRIAL_TOKENS


@dataclass(frozen=True)
class Call:
    """One call as it came. `number` counts all of them, `repeated` those of this very prompt."""

    number: int
    repeated: int
    at: float  # this machine's monotonic clock
    body: Mapping[str, Any]
    authorization: str

    @property
    def prompt(self) -> str:
        """A hash of what is asked."""
        return sha256(json.dumps(self.body["messages"]).encode()).hexdigest()

    @property
    def kind(self) -> str:
        schema = self.body.get("response_format", {}).get("json_schema")
        if schema is not None:
            return str(schema["name"]).upper()
        # Of a schema in the prompt: by a property that no other has.
        told = {"points_forts": "AVIS", "presentation": "PROLOCALISATION"}
        rules = self.body["messages"][0]["content"]
        return next((kind for name, kind in told.items() if f'"{name}"' in rules), "VILLE")

    @property
    def is_probe(self) -> bool:
        return self.data == TRIAL

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body["messages"][1]["content"])
        return found


@dataclass(frozen=True)
class Reply:
    """What the server does. `content` None: a good answer. `hang`: seconds before it answers.

    `reset`: the connection ends in the middle of the body. `raw`: the body as it is. `stream`: the body
    in parts, with `hang` seconds between them. `usage` is the answer's usage as it is; None: what
    `tokens` say, which is what the server charges for an answer in any case.
    """

    status: int = 200
    content: str | list[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    refusal: str | None = None
    finish: str = "stop"
    hang: float = 0.0
    reset: bool = False
    raw: bytes | None = None
    stream: Callable[[], Iterator[bytes]] | None = None
    tokens: tuple[int, int] = (400, 100)
    usage: Mapping[str, Any] | None = None


META = "Des professionnels proches de chez vous, à choisir selon leur métier et leur commune."


def good(kind: str, data: Mapping[str, Any]) -> str:
    """An answer that passes the schema and the gate, and tells whom it is about."""
    name = str(data.get("nom") or data.get("entreprise"))
    text = (
        f"La page de {name} présente des artisans de plusieurs métiers. Chacun intervient près "
        "de son atelier, explique sa façon de travailler et remet un devis avant de commencer."
    )
    answers: dict[str, dict[str, Any]] = {
        "PROLOCALISATION": {
            "presentation": f"{name} exerce son métier dans la commune et aux environs immédiats.",
            "zone": "Les interventions ont lieu dans la commune et dans les villages voisins.",
            "meta_description": META,
        },
        "AVIS": {
            "texte": "Les clients parlent surtout de délais tenus et de chantiers laissés propres.",
            "points_forts": ["Délais tenus", "Chantier propre"],
            "tendance": "Les derniers clients confirment cette impression générale.",
            "bilan": "Une adresse appréciée pour son sérieux par ceux qui écrivent.",
        },
    }
    found = answers.get(kind, {"texte": text, "meta_description": META})
    return json.dumps(found, ensure_ascii=False)


CUT = Reply(finish="length", tokens=(400, TRIAL_TOKENS))
"""The answer to a probe: as long as it may be."""

Script = Callable[[Call], Reply]
BatchScript = Callable[[str, bool], "int | None"]
BatchRefusal = Callable[[int], Mapping[str, Any] | None]


def most_in(times: Sequence[float], seconds: float) -> int:
    """The most of them in any so many seconds."""
    return max((sum(start <= at < start + seconds for at in times) for start in times), default=0)


class ScriptedOpenAI:
    """On a free loopback port. `calls` are all calls, `paid` those that were answered in full.
    `charged` are the tokens in and out of all that the model worked at, and `streamed` the bytes of
    bodies in parts that were sent.

    `probes` are the calls by which foxstream tries its settings. They are not among `calls`, and have a
    script of their own, `probe`; without one they are answered, and cut at their limit.

    Batches are answered by the same script, line by line, as soon as `batch_status` says that they are
    over; `batched` are their lines. `batch_asks` are the requests about batches, as "GET /v1/batches/…";
    `batch_trouble` is asked with each: before it is carried out (False) and after (True); an HTTP status
    is the answer, 0 none at all. `batch_refusal` is asked with the number of a batch's lines for the error
    with which it fails as a whole. `files` are those that were not deleted.
    """

    def __init__(self) -> None:
        self.forget()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                if self.path.partition("?")[0].endswith("/chat/completions"):  # Azure has more
                    server.handle(self)
                else:
                    server.handle_batch(self)

            def do_GET(self) -> None:
                if self.path == "/v1/models":
                    server.handle_models(self)
                else:
                    server.handle_batch(self)

            def do_DELETE(self) -> None:
                server.handle_batch(self)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever,
            args=(0.05,),
            daemon=True,  # seconds until it ends
        )
        self._released = threading.Event()

    def forget(self) -> None:
        """As one that was never asked, with no script."""
        self.calls: list[Call] = []
        self.paid: list[Call] = []
        self.charged: list[tuple[int, int]] = []
        self.streamed = 0
        self.script: Script = lambda _: Reply()
        self.probes: list[Call] = []
        self.probe: Script = lambda _: CUT
        self.running = self.most_running = 0
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.models: bytes | None = None  # the list of models; None: there is none
        self.batched: list[Call] = []
        self.batch_asks: list[str] = []
        self.batch_status = "completed"
        self.batch_trouble: BatchScript = lambda _, __: None
        self.batch_refusal: BatchRefusal = lambda _: None
        self._file_numbers = count()
        self._seen: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """For a worker that is to ask this server."""
        return {"OPENAI_API_KEY": "sk-test-secret", "OPENAI_BASE_URL": self.url, "NO_PROXY": "*"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._http.shutdown()
        self._http.server_close()

    def release(self) -> None:
        """Answers all that hangs, and lets nothing hang any more."""
        self._released.set()

    def most_in(self, seconds: float) -> int:
        """The most calls that any window of so many seconds has seen."""
        return most_in([call.at for call in self.calls], seconds)

    def repeats(self) -> Counter[str]:
        """Prompts that were answered in full more than once, with how often beyond the first."""
        return Counter({p: n - 1 for p, n in Counter(c.prompt for c in self.paid).items() if n > 1})

    def handle(self, request: Any) -> None:
        at = monotonic()
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            call = Call(len(self.calls), 0, at, body, request.headers.get("Authorization", ""))
            call = Call(call.number, self._seen[call.prompt], at, body, call.authorization)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            if call.is_probe:
                self.probes.append(call)
                reply = self.probe(call)
            else:
                self._seen[call.prompt] += 1
                self.calls.append(call)
                reply = self.script(call)
                if reply.status == 200:
                    self.charged.append(reply.tokens)
        try:
            if reply.stream is not None:
                self._stream(request, reply, reply.stream())
                return
            if reply.hang:
                self._released.wait(reply.hang)
            self._answer(request, call, reply)
        except OSError:
            pass  # whoever asked is gone
        finally:
            with self._lock:
                self.running -= 1

    def handle_models(self, request: Any) -> None:
        """GET /v1/models."""
        answer = self.models or b'{"error": {"message": "not found"}}'
        request.send_response(200 if self.models else 404)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def handle_batch(self, request: Any) -> None:
        """POST, GET and DELETE /v1/files, POST and GET /v1/batches."""
        content = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        asked = f"{request.command} {request.path.partition('?')[0]}"
        answer: bytes = b""
        with self._lock:
            self.batch_asks.append(asked)
            trouble = self.batch_trouble(asked, False)
            if trouble is None:
                answer = self._batch_answer(asked, content)
                trouble = self.batch_trouble(asked, True)
        if trouble == 0:
            request.close_connection = True
            request.connection.shutdown(SHUT_RDWR)
            return
        if trouble is not None:
            answer = json.dumps({"error": {"message": f"status {trouble}"}}).encode()
        request.send_response(trouble or 200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _batch_answer(self, asked: str, content: bytes) -> bytes:
        what, _, name = asked.removesuffix("/content").rpartition("/")
        if asked == "POST /v1/files":
            name = f"file-{next(self._file_numbers)}"
            # multipart/form-data: of all parts the file alone is made of lines of JSON.
            lines = [line for line in content.splitlines() if line.startswith(b"{")]
            self.files[name] = b"\n".join(lines)
            return json.dumps({"id": name, "object": "file", "purpose": "batch"}).encode()
        if asked == "POST /v1/batches":
            name = f"batch-{len(self.batches)}"
            self.batches[name] = {**json.loads(content), "id": name, "object": "batch"}
            return json.dumps({**self.batches[name], "status": "validating"}).encode()
        if asked == "GET /v1/batches":
            found = [{**b, "status": "in_progress"} for b in reversed(self.batches.values())]
            return json.dumps({"object": "list", "data": found, "has_more": False}).encode()
        if what == "GET /v1/batches":
            return json.dumps(self._batch(self.batches[name])).encode()
        if what == "DELETE /v1/files":
            del self.files[name]
            return json.dumps({"id": name, "object": "file", "deleted": True}).encode()
        return self.files[name]

    def _batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        lines = self.files.get(batch["input_file_id"], b"").splitlines()
        if error := self.batch_refusal(len(lines)):
            return {**batch, "status": "failed", "errors": {"object": "list", "data": [error]}}
        over = self.batch_status in ("completed", "expired")
        if over and "output_file_id" not in batch:
            batch["output_file_id"] = f"file-{next(self._file_numbers)}"
            answers = filter(None, (self._batched(json.loads(line)) for line in lines))
            self.files[batch["output_file_id"]] = b"\n".join(answers)
        return {**batch, "status": self.batch_status}

    def _batched(self, line: dict[str, Any]) -> bytes | None:
        call = Call(len(self.batched), 0, monotonic(), line["body"], "")
        call = Call(call.number, self._seen[call.prompt], call.at, call.body, "")
        self._seen[call.prompt] += 1
        self.batched.append(call)
        reply = self.script(call)
        if reply.hang:
            return None  # not answered in its day
        if reply.status == 200 and reply.raw is None:
            self.paid.append(call)
        payload = reply.raw if reply.raw is not None else _payload(call, reply)
        response = {"status_code": reply.status, "body": json.loads(payload)}
        answer = {"custom_id": line["custom_id"], "response": response, "error": None}
        return json.dumps(answer).encode()

    def _stream(self, request: Any, reply: Reply, parts: Iterator[bytes]) -> None:
        request.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            request.send_header(name, value)
        request.send_header("Connection", "close")
        request.end_headers()
        for part in parts:
            request.wfile.write(part)
            self.streamed += len(part)
            if self._released.wait(reply.hang):
                return

    def _answer(self, request: Any, call: Call, reply: Reply) -> None:
        payload = reply.raw if reply.raw is not None else _payload(call, reply)
        request.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(payload)))
        request.end_headers()
        if reply.reset:
            request.wfile.write(payload[: len(payload) // 2])
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(SHUT_RDWR)
            return
        if reply.status == 200 and reply.raw is None and not call.is_probe:
            with self._lock:
                self.paid.append(call)
        request.wfile.write(payload)


def _payload(call: Call, reply: Reply) -> bytes:
    if reply.status != 200:
        error = reply.error or {"message": f"status {reply.status}", "type": "server_error"}
        return json.dumps({"error": error}).encode()
    content = reply.content if reply.content is not None else good(call.kind, call.data)
    document = {
        "id": f"chatcmpl-{call.number}",
        "object": "chat.completion",
        "created": 0,
        "model": call.body["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": reply.finish,
                "message": {
                    "role": "assistant",
                    "content": None if reply.refusal else content,
                    "refusal": reply.refusal,
                },
            }
        ],
        "usage": reply.usage
        if reply.usage is not None
        else {
            "prompt_tokens": reply.tokens[0],
            "completion_tokens": reply.tokens[1],
            "total_tokens": sum(reply.tokens),
        },
    }
    return json.dumps(document).encode()
