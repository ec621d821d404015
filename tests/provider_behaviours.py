"""What providers, proxies and local servers answer, and what foxstream does then.

tests/integration/test_enrichment_behaviours.py tries each of them, and docs/enrichment.md shows them.
A source is a page of the provider's, a report of somebody who met it, or the test that met it here.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from tests.model_outcomes import Outcome, Spent, Then
from tests.openai_server import Reply, good

GOOD = good("VILLE", {"nom": "Ville 1"})
TOKENS = (400, 100)
USAGE = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}


@dataclass(frozen=True)
class Behaviour:
    """`does` is unique for a provider. `reply.tokens` are what the provider counts.

    `refuses`: a parameter or one of its values. The server answers so only while requests have it.
    """

    provider: str
    does: str
    reply: Reply
    outcome: Outcome
    source: str
    refuses: str = ""

    @property
    def name(self) -> str:
        return f"{self.provider}: {self.does}"

    @property
    def in_batch(self) -> bool:
        """Whether a line of a batch can say it: a status and a JSON body."""
        said = self.reply
        plain = not (said.headers or said.hang or said.reset or said.stream)
        return plain and (said.raw is None or _is_line(said.raw))


def _is_line(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def document(content: Any = GOOD, finish: Any = "stop", **others: Any) -> dict[str, Any]:
    """A chat completion; `message` and `choice` are more fields of those."""
    message = {"role": "assistant", "content": content, **others.pop("message", {})}
    choice = {"index": 0, "finish_reason": finish, "message": message, **others.pop("choice", {})}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE, **others}  # fmt: skip


def said(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A body as it is."""
    return Reply(status, raw=json.dumps(body).encode(), headers=headers or {})


def _forever(part: bytes) -> Iterator[bytes]:
    """A gigabyte, if somebody reads it."""
    return repeat(part, (1 << 30) // len(part))


STORED = Outcome(Then.STORED, None, Spent.USED)
UNMETERED = Outcome(Then.STORED, None, Spent.RESERVED)
WAIT = Outcome(Then.WAIT, "rate", Spent.NOTHING)
UNPAID = Outcome(Then.BREAKER, "quota", Spent.NOTHING)
GARBAGE = Outcome(Then.AGAIN, "garbage", Spent.RESERVED)
FILTERED = Outcome(Then.FAILED, "content-filter", Spent.NOTHING)
FILTERED_ANSWER = Outcome(Then.FAILED, "content-filter", Spent.USED)
TOO_LARGE = Outcome(Then.FAILED, "too-large", Spent.NOTHING)
THOUGHT = Outcome(Then.FAILED, "length", Spent.USED)
UNKNOWN_KEY = Outcome(Then.HALTED, "http-401", Spent.NOTHING)
OTHERWISE = Outcome(Then.OTHERWISE, "parameter", Spent.NOTHING)
BROKEN_OFF = Outcome(Then.AGAIN, "http-502", Spent.RESERVED)


def again(status: int, spent: Spent = Spent.NOTHING) -> Outcome:
    return Outcome(Then.AGAIN, f"http-{status}", spent)


def judged(status: int) -> Outcome:
    return Outcome(Then.JUDGED, f"http-{status}", Spent.NOTHING)


def asked_again(code: str) -> Outcome:
    return Outcome(Then.ASKED_AGAIN, code, Spent.USED)


Row = tuple[str, Reply, Outcome, str] | tuple[str, Reply, Outcome, str, str]

_CHAT = "https://platform.openai.com/docs/api-reference/chat/object"
_CODES = "https://platform.openai.com/docs/guides/error-codes"
_OPENAI: list[Row] = [
    ("a text", Reply(), STORED, _CHAT),
    ("a refusal", Reply(refusal="I can't help."), Outcome(Then.FAILED, "refusal", Spent.USED), _CHAT),
    ("a text, and an empty refusal", said(document(message={"refusal": ""})), STORED, _CHAT),
    ("a refusal as a block of the content",
     said(document([{"type": "refusal", "refusal": "I can't help."}])),
     Outcome(Then.FAILED, "refusal", Spent.USED), _CHAT),
    ("400 `invalid_prompt`: flagged",
     Reply(400, error={"code": "invalid_prompt", "type": "invalid_request_error",
                       "message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy."}),
     FILTERED, _CODES),
    ("429 that asks for more than the limit",
     Reply(429, error={"code": "rate_limit_exceeded", "type": "tokens", "message": "Rate limit reached for m on "
                       "tokens per min (TPM): Limit 30,000, Used 0, Requested 30,001."}),
     TOO_LARGE, _CODES),
    ("429 that asks for what is used",
     Reply(429, error={"code": "rate_limit_exceeded", "type": "tokens", "message": "Rate limit reached for m on "
                       "tokens per min (TPM): Limit 30000, Used 29900, Requested 2800."}),
     WAIT, _CODES),
    ("an answer cut by the limit", Reply(finish="length"), asked_again("length"), _CHAT),
    ("all tokens used for reasoning", Reply(content="", finish="length"), THOUGHT,
     "https://platform.openai.com/docs/guides/reasoning"),
    ("an answer cut by the content filter", Reply(finish="content_filter"), FILTERED_ANSWER, _CHAT),
    ("a tool call in place of a text",
     said(document(None, "tool_calls", message={"tool_calls": [{"id": "a", "type": "function"}]})),
     asked_again("schema"), _CHAT),
    ("the answer as the arguments of a tool call",
     said(document(None, "tool_calls", message={"tool_calls": [
         {"id": "a", "type": "function", "function": {"name": "json", "arguments": GOOD}}]})),
     STORED, _CHAT),
    ("the answer as the arguments of a `function_call`",
     said(document(None, "function_call", message={"function_call": {"name": "json", "arguments": GOOD}})),
     STORED, _CHAT),
    ("two choices, the first one empty",
     said({**document(), "choices": [*document("")["choices"], *document()["choices"]]}), STORED, _CHAT),
    ("no usage", said({**document(), "usage": None}), UNMETERED, _CHAT),
    ("401 `invalid_api_key`", Reply(401, error={"message": "Incorrect API key", "code": "invalid_api_key"}),
     UNKNOWN_KEY, _CODES),
    ("403 for the country", Reply(403, error={"code": "unsupported_country_region_territory"}),
     judged(403), _CODES),
    ("404 `model_not_found`", Reply(404, error={"code": "model_not_found"}), judged(404), _CODES),
    ("429 `rate_limit_exceeded`, `Retry-After` in seconds",
     Reply(429, headers={"Retry-After": "20"}, error={"code": "rate_limit_exceeded"}), WAIT, _CODES),
    ("429 with `retry-after-ms`",
     Reply(429, headers={"Retry-After-Ms": "20000"}, error={"code": "rate_limit_exceeded"}), WAIT, _CODES),
    ("429 `insufficient_quota`", Reply(429, error={"code": "insufficient_quota"}), UNPAID, _CODES),
    ("429 `insufficient_quota` as type alone",
     Reply(429, error={"type": "insufficient_quota", "code": None}), UNPAID,
     "github.com/ayaka14732/ChatGPTAPIFree/issues/16"),
    ("429 for one request larger than the account's limit",
     Reply(429, error={"code": "rate_limit_exceeded",
                       "message": "Request too large for gpt-4o on tokens per min (TPM)"}),
     TOO_LARGE, "github.com/vanna-ai/vanna-flask/issues/11"),
    ("400 `context_length_exceeded`",
     Reply(400, error={"code": "context_length_exceeded", "message": "maximum context length"}),
     judged(400), "github.com/crewAIInc/crewAI-examples/issues/121"),
    ("500", Reply(500), again(500), _CODES),
    ("503, overloaded", Reply(503), again(503), _CODES),
    ("a text, and `x-ratelimit-remaining-requests: 0`",
     Reply(headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}),
     STORED, "https://platform.openai.com/docs/guides/rate-limits"),
]  # fmt: skip

_AZURE_ERRORS = "https://learn.microsoft.com/azure/ai-services/openai/quotas-limits"
_AZURE_FILTER = "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter"
_AZURE: list[Row] = [
    ("400 `content_filter` with `innererror`",
     Reply(400, error={"code": "content_filter", "status": 400, "message": "The response was filtered",
                       "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result":
                                      {"violence": {"filtered": True, "severity": "medium"}}}}),
     FILTERED, _AZURE_FILTER),
    ("`content_filter` with empty content",
     said(document("", "content_filter", choice={"content_filter_results": {"hate": {"filtered": True}}})),
     FILTERED_ANSWER, _AZURE_FILTER),
    ("`content_filtered`", said(document("", "content_filtered")), FILTERED_ANSWER, _AZURE_FILTER),
    ("a text, and filter results", said(document(prompt_filter_results=[{"prompt_index": 0}])), STORED,
     _AZURE_FILTER),
    ("429, `Retry-After` of a day",
     Reply(429, headers={"Retry-After": "86400"},
           error={"code": "429", "message": "have exceeded token rate limit. Please retry after 86400 seconds."}),
     WAIT, "github.com/jasonacox/TinyLLM/issues/17"),
    ("404 `DeploymentNotFound`", Reply(404, error={"code": "DeploymentNotFound"}), judged(404), _AZURE_ERRORS),
    ("401 for a wrong subscription key",
     Reply(401, error={"code": "401", "message": "Access denied due to invalid subscription key"}),
     UNKNOWN_KEY, _AZURE_ERRORS),
    ("400 for `max_completion_tokens`",
     Reply(400, error={"message": "Unrecognized request argument supplied: max_completion_tokens",
                       "type": "invalid_request_error", "param": None, "code": None}),
     OTHERWISE, "github.com/openai/openai-python/issues/1724", "max_completion_tokens"),
    ("400 for `json_schema`",
     Reply(400, error={"message": "response_format value as json_schema is enabled only for api versions "
                       "2024-08-01-preview and later", "type": "", "param": "", "code": "BadRequest"}),
     OTHERWISE, "github.com/crmne/ruby_llm/issues/600", "json_schema"),
    ("408, the model was too slow", Reply(408, error={"code": "Timeout", "message": "The operation was timeout."}),
     again(408, Spent.RESERVED), _AZURE_ERRORS),
]  # fmt: skip

_MISTRAL_API = "https://docs.mistral.ai/api/"
_EXTRA = [
    {
        "type": "extra_forbidden",
        "loc": ["body", "max_completion_tokens"],
        "msg": "Extra inputs are not permitted",
    }
]
_MISTRAL: list[Row] = [
    ("an answer in blocks, thoughts first",
     said(document([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                    {"type": "text", "text": GOOD}])),
     STORED, "https://docs.mistral.ai/capabilities/reasoning/"),
    ("`model_length`: the context is full", Reply(finish="model_length"), asked_again("length"), _MISTRAL_API),
    ("422 for `max_completion_tokens`, a list in `detail`", said({"detail": _EXTRA}, 422), OTHERWISE,
     "github.com/Gitlawb/openclaude/issues/739", "max_completion_tokens"),
    ("422 for `max_completion_tokens`, `detail` in `message`",
     said({"object": "error", "message": {"detail": _EXTRA}, "type": "invalid_request_error"}, 422),
     OTHERWISE, "github.com/editor-code-assistant/eca/issues/231", "max_completion_tokens"),
    ("429 `rate_limited`",
     said({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300",
           "raw_status_code": 429}, 429),
     WAIT, "github.com/raycast/extensions/issues/31107"),
    ("429, the tier's capacity is used up",
     said({"object": "error", "message": "Service tier capacity exceeded for this model.",
           "type": "invalid_request_error", "code": None}, 429),
     WAIT, "github.com/continuedev/continue/issues/6185"),
    ("401 without `error`", said({"message": "Unauthorized", "request_id": "a"}, 401), UNKNOWN_KEY,
     "github.com/elastic/elasticsearch/pull/128538"),
    ("404 with a word in `detail`", said({"detail": "Not Found"}, 404), judged(404),
     "github.com/elastic/elasticsearch/pull/128538"),
]  # fmt: skip


def _google(code: int, message: str, status: str) -> Reply:
    return said([{"error": {"code": code, "message": message, "status": status}}], code)


_GEMINI_COMPATIBLE = "https://ai.google.dev/gemini-api/docs/openai"
_GEMINI_ENDS = "https://ai.google.dev/api/generate-content#FinishReason"
_GEMINI: list[Row] = [
    ("429 in a list", _google(429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED"),
     WAIT, "github.com/n4ze3m/page-assist/issues/406"),
    ("503 in a list", _google(503, "The model is overloaded.", "UNAVAILABLE"), again(503),
     "https://ai.google.dev/gemini-api/docs/troubleshooting"),
    ("400 for a wrong key",
     _google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"), judged(400),
     "github.com/cequence-io/openai-scala-client/issues/109"),
    ("404 for a model", _google(404, "models/gemini-0 is not found", "NOT_FOUND"), judged(404),
     "https://ai.google.dev/gemini-api/docs/troubleshooting"),
    ("thoughts that only the total counts",
     Reply(usage={**USAGE, "total_tokens": 4700}, tokens=(400, 4300)), STORED,
     "github.com/mozilla-ai/any-llm/issues/1290"),
    ("no content: all was thought", said(document(None, "length")), THOUGHT,
     "github.com/evalstate/fast-agent/issues/184"),
    ("`MAX_TOKENS`", said(document(None, "MAX_TOKENS")), THOUGHT, _GEMINI_ENDS),
    ("`FinishReason.MAX_TOKENS`: the name with its type", said(document(GOOD[:60], "FinishReason.MAX_TOKENS")),
     asked_again("length"), _GEMINI_ENDS),
    ("`OTHER`", said(document("", "OTHER")), asked_again("schema"), _GEMINI_ENDS),
    ("`function_call_filter: MALFORMED_FUNCTION_CALL`",
     said(document(None, "function_call_filter: MALFORMED_FUNCTION_CALL")), asked_again("schema"), _GEMINI_ENDS),
    ("`SAFETY`", said(document("", "SAFETY")), FILTERED_ANSWER, _GEMINI_ENDS),
    ("`RECITATION`", said(document(None, "RECITATION")), FILTERED_ANSWER, _GEMINI_ENDS),
    ("a filter's reason behind a colon", said(document("", "content_filter: PROHIBITED_CONTENT")),
     FILTERED_ANSWER, _GEMINI_ENDS),
    ("JSON in a code fence", Reply(content=f"```json\n{GOOD}\n```"), STORED, _GEMINI_COMPATIBLE),
]  # fmt: skip

_DEEPSEEK_CODES = "https://api-docs.deepseek.com/quick_start/error_codes"
_DEEPSEEK_RATES = "https://api-docs.deepseek.com/quick_start/rate_limit"
_DEEPSEEK_CHAT = "https://api-docs.deepseek.com/api/create-chat-completion"
_DEEPSEEK: list[Row] = [
    ("blank lines, then the answer", Reply(raw=b"\n\n\n" + json.dumps(document()).encode()), STORED,
     _DEEPSEEK_RATES),
    ("blank lines and never an answer", Reply(stream=lambda: repeat(b"\n"), hang=0.1),
     Outcome(Then.AGAIN, "timeout", Spent.RESERVED), _DEEPSEEK_RATES),
    ("`reasoning_content` beside the text", said(document(message={"reasoning_content": "Hm."})), STORED,
     "https://api-docs.deepseek.com/guides/reasoning_model"),
    ("`insufficient_system_resource`", said(document("{", "insufficient_system_resource")), BROKEN_OFF,
     _DEEPSEEK_CHAT),
    ("an empty text in JSON mode", Reply(content=""), asked_again("schema"),
     "https://api-docs.deepseek.com/guides/json_mode"),
    ("402 `Insufficient Balance`", Reply(402, error={"message": "Insufficient Balance", "type": "unknown_error"}),
     judged(402), _DEEPSEEK_CODES),
    ("400 for `json_schema`",
     Reply(400, error={"message": "This response_format type is unavailable now", "param": None,
                       "type": "invalid_request_error", "code": "invalid_request_error"}),
     OTHERWISE, "github.com/bytedance/deer-flow/issues/545", "json_schema"),
    ("422", Reply(422, error={"message": "Failed to deserialize the JSON body"}), judged(422), _DEEPSEEK_CODES),
]  # fmt: skip

_GROQ_CODES = "https://console.groq.com/docs/errors"
_GROQ: list[Row] = [
    ("400 `json_validate_failed`",
     Reply(400, error={"code": "json_validate_failed", "type": "invalid_request_error",
                       "message": "Failed to generate JSON.", "failed_generation": "{"}),
     Outcome(Then.AGAIN, "bad-json", Spent.RESERVED),
     "github.com/thepersonalaicompany/amurex-backend/issues/38"),
    ("400 `output_parse_failed`",
     Reply(400, error={"code": "output_parse_failed", "message": "Parsing failed.", "failed_generation": "{"}),
     Outcome(Then.AGAIN, "bad-json", Spent.RESERVED), _GROQ_CODES),
    ("400 for `json_schema`",
     Reply(400, error={"message": "This model does not support response format `json_schema`.",
                       "type": "invalid_request_error", "param": "response_format"}),
     OTHERWISE, "https://console.groq.com/docs/structured-outputs", "json_schema"),
    ("413 for one request larger than the limit",
     Reply(413, error={"message": "Request too large for model `m` on tokens per minute (TPM)",
                       "type": "tokens", "code": "rate_limit_exceeded"}),
     TOO_LARGE, "github.com/HunorLaczko/ha-groq-cloud-api/issues/27"),
    ("429 for the day, `Retry-After`",
     Reply(429, headers={"Retry-After": "578"},
           error={"message": "Rate limit reached on tokens per day (TPD)", "code": "rate_limit_exceeded"}),
     WAIT, "github.com/continuedev/continue/issues/10920"),
    ("498 `capacity_exceeded`", Reply(498, error={"code": "capacity_exceeded"}), again(498),
     "https://console.groq.com/docs/flex-processing"),
    ("424", Reply(424), again(424), _GROQ_CODES),
    ("499", Reply(499), again(499, Spent.RESERVED), _GROQ_CODES),
    ("400 `organization_restricted`",
     Reply(400, error={"message": "Organization has been restricted.", "code": "organization_restricted"}),
     judged(400), "github.com/NVIDIA-NeMo/Guardrails/issues/563"),
    ("403 with a page of Cloudflare's", Reply(403, raw=b"<!DOCTYPE html>", headers={"Content-Type": "text/html"}),
     judged(403), "github.com/mckaywrigley/chatbot-ui/issues/1684"),
]  # fmt: skip

_OPENROUTER_ERRORS = "https://openrouter.ai/docs/api/reference/errors-and-debugging"
_OPENROUTER: list[Row] = [
    ("comment lines before the answer",
     Reply(raw=b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + json.dumps(document()).encode()),
     STORED, "https://openrouter.ai/docs/api/reference/streaming"),
    ("200 with an error",
     said({"error": {"code": 502, "message": "Provider returned error"}}), again(502), _OPENROUTER_ERRORS),
    ("200 with a rate limit as error",
     said({"error": {"code": 429, "message": "Provider returned error",
                     "metadata": {"raw": "m is temporarily rate-limited upstream"}}}),
     WAIT, "github.com/open-webui/computer/issues/293"),
    ("200 with an error and usage", said({"error": {"code": 502, "message": "died"}, "usage": USAGE}),
     BROKEN_OFF, _OPENROUTER_ERRORS),
    ("half a text, `error` as reason",
     said({**document(GOOD[:40], "error"),
           "usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": 0}}),
     BROKEN_OFF, "github.com/maximhq/bifrost/issues/5425"),
    ("an error in the choice", said(document(GOOD[:40], "error", choice={"error": {"code": 503}})),
     again(503, Spent.RESERVED), _OPENROUTER_ERRORS),
    ("403, moderated",
     Reply(403, error={"code": 403, "message": "flagged", "metadata": {"reasons": ["x"], "flagged_input": "y"}}),
     FILTERED, _OPENROUTER_ERRORS),
    ("402, no credits", Reply(402, error={"code": 402, "message": "Insufficient credits"}), judged(402),
     _OPENROUTER_ERRORS),
    ("402 for one request that is too dear",
     Reply(402, error={"code": 402, "message": "This request requires more credits, or fewer max_tokens."}),
     judged(402), _OPENROUTER_ERRORS),
    ("what its provider said, as a text",
     Reply(400, error={"code": 400, "message": "Provider returned error", "metadata": {
         "provider_name": "Azure", "raw": '{"error": {"code": "content_filter", "message": "filtered"}}'}}),
     FILTERED, _OPENROUTER_ERRORS),
    ("200 with an error whose code is a text",
     said({"error": {"code": "429", "message": "Rate limit exceeded: free-models-per-min."}}), WAIT,
     _OPENROUTER_ERRORS),
    ("401", Reply(401, error={"code": 401, "message": "No auth credentials found"}), UNKNOWN_KEY, _OPENROUTER_ERRORS),
    ("429, the time of a clock in `Retry-After`", Reply(429, headers={"Retry-After": "4102444799"}), WAIT,
     _OPENROUTER_ERRORS),
    ("503, nobody has the model", Reply(503, error={"code": 503, "message": "no available model provider"}),
     again(503), _OPENROUTER_ERRORS),
]  # fmt: skip

_LITELLM_TEST = "tests/integration/test_enrichment_litellm.py"


def _litellm(code: int, message: str, kind: str | None, **headers: str) -> Reply:
    error = {"message": message, "type": kind, "param": None, "code": str(code)}
    return Reply(code, error=error, headers={n.replace("_", "-"): v for n, v in headers.items()})


_LITELLM: list[Row] = [
    ("429 with the provider's `Retry-After`, renamed",
     Reply(429, headers={"llm_provider-retry-after": "7"},
           error={"message": "litellm.RateLimitError: slow down", "type": "throttling_error", "code": "429"}),
     WAIT, _LITELLM_TEST),
    ("429, OpenAI's empty account in its words",
     _litellm(429, "litellm.RateLimitError: OpenAIException - You exceeded your current quota", "throttling_error"),
     WAIT, _LITELLM_TEST),
    ("400 `ContentPolicyViolationError`",
     _litellm(400, "litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException", None),
     FILTERED, "github.com/BerriAI/litellm/pull/16231"),
    ("400 `ContextWindowExceededError`",
     _litellm(400, "litellm.ContextWindowExceededError: maximum context length", "invalid_request_error"),
     judged(400), _LITELLM_TEST),
    ("400 `budget_exceeded`", _litellm(400, "Budget has been exceeded!", "budget_exceeded"), UNPAID,
     "https://docs.litellm.ai/docs/proxy/users"),
    ("400 for a key, without a database", _litellm(400, "No connected db.", "no_db_connection"), judged(400),
     _LITELLM_TEST),
    ("408, its provider was too slow", _litellm(408, "litellm.Timeout", "invalid_request_error"),
     again(408, Spent.RESERVED), _LITELLM_TEST),
    ("usage of 0 where its provider sent none",
     Reply(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}), UNMETERED, _LITELLM_TEST),
    ("500, its provider does not answer", _litellm(500, "Connection error.", "internal_server_error"),
     again(500), _LITELLM_TEST),
]  # fmt: skip

_OLLAMA: list[Row] = [
    ("404 for a model", Reply(404, error={"message": 'model "m" not found, try pulling it first', "type": "api_error"}),
     judged(404), "github.com/netease-youdao/QAnything/issues/555"),
    ("404, the error a text", said({"error": 'model "m" not found, try pulling it first'}, 404), judged(404),
     "github.com/stackblitz-labs/bolt.diy/issues/434"),
    ("500, the error a text", said({"error": "llama runner process has terminated"}, 500), again(500),
     "https://docs.ollama.com/api/errors"),
    ("its own format, not OpenAI's",
     said({"model": "m", "message": {"role": "assistant", "content": GOOD}, "done": True, "eval_count": 100}),
     GARBAGE, "https://docs.ollama.com/api/chat"),
    ("`load`: the model was loaded, not asked", said(document("", "load")), BROKEN_OFF,
     "https://docs.ollama.com/api/chat"),
    ("thoughts in `<think>`", Reply(content=f"<think>\nHm, {{une ville}}.\n</think>\n\n{GOOD}"), STORED,
     "https://docs.ollama.com/capabilities/thinking"),
]  # fmt: skip

_LM_STUDIO: list[Row] = [
    ("404, no model is loaded", Reply(404, error={"message": "No models loaded."}), judged(404),
     "github.com/lmstudio-ai/lms/issues/107"),
    ("400, no model is loaded",
     Reply(400, error={"message": "No models loaded.", "type": "invalid_request_error", "param": "model"}),
     judged(400), "github.com/tinyhumansai/openhuman/issues/4181"),
    ("200 for a path that it does not have", said({"error": "Unexpected endpoint or method. Returning 200 anyway"}),
     again(502), "github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1879"),
]  # fmt: skip

_LLAMACPP_TEST = "tests/integration/test_enrichment_llamacpp.py"
_LLAMACPP_SERVER = "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"
_LLAMACPP: list[Row] = [
    ("503, the model is being loaded",
     Reply(503, error={"code": 503, "message": "Loading model", "type": "unavailable_error"}), again(503),
     _LLAMACPP_SERVER),
    ("400 `exceed_context_size_error`",
     Reply(400, error={"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 1783, "n_ctx": 512,
                       "message": "request (1783 tokens) exceeds the available context size (512 tokens)"}),
     judged(400), _LLAMACPP_TEST),
    ("401", Reply(401, error={"code": 401, "message": "Invalid API Key", "type": "authentication_error"}),
     UNKNOWN_KEY, _LLAMACPP_SERVER),
    ("a text, and timings", said(document(timings={"predicted_n": 9})), STORED, _LLAMACPP_TEST),
    ("an answer cut by the limit", said(document(GOOD[:60], "length")), asked_again("length"), _LLAMACPP_TEST),
    ("500 for `json_schema`, of an old one",
     Reply(500, error={"code": 500, "type": "server_error", "message": 'response_format type must be one of "text" or '
                       '"json_object", but got: json_schema'}),
     OTHERWISE, _LLAMACPP_SERVER, "json_schema"),
]  # fmt: skip

_VLLM_SERVER = "https://docs.vllm.ai/en/latest/serving/openai_compatible_server/"
_VLLM: list[Row] = [
    ("400, the error not in `error`",
     said({"object": "error", "message": "max_tokens must be at least 1, got -186.", "type": "BadRequestError",
           "param": None, "code": 400}, 400),
     judged(400), "github.com/vllm-project/vllm/issues/4667"),
    ("400 for `max_completion_tokens`, a list as a text",
     said({"object": "error", "type": "BadRequestError", "param": None, "code": 400,
           "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), "
           "'msg': 'Extra inputs are not permitted', 'input': 8192}]"}, 400),
     OTHERWISE, "github.com/voideditor/void/issues/128", "max_completion_tokens"),
    ("404 for a model, the error not in `error`",
     said({"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}, 404),
     judged(404), _VLLM_SERVER),
    ("401, the error a text", said({"error": "Unauthorized"}, 401), UNKNOWN_KEY, _VLLM_SERVER),
    ("`abort`", said(document(GOOD[:40], "abort")), BROKEN_OFF, _VLLM_SERVER),
    ("200 with an error that is not in `error`",
     said({"object": "error", "message": "The model is overloaded.", "type": "x", "param": None, "code": 503}),
     again(503), _VLLM_SERVER),
    ("500 for `json_schema`",
     Reply(500, raw=b'{"object": "error", "message": "The provided JSON schema is not supported", "code": 500}'),
     OTHERWISE, _VLLM_SERVER, "json_schema"),
    ("the whole answer taken for reasoning", said(document(None, message={"reasoning_content": GOOD})), STORED,
     "https://docs.vllm.ai/en/latest/features/reasoning_outputs/"),
    ("no content, and reasoning without an end", said(document("", message={"reasoning_content": "Hm {1"})),
     asked_again("schema"), "https://docs.vllm.ai/en/latest/features/reasoning_outputs/"),
    ("no content: all was reasoning", said(document(None, "length", message={"reasoning": "Hm."})), THOUGHT,
     "https://docs.vllm.ai/en/latest/features/reasoning_outputs/"),
]  # fmt: skip

_ANTHROPIC_ERRORS = "https://docs.anthropic.com/en/api/errors"
_ANTHROPIC_STOPS = "https://docs.anthropic.com/en/api/handling-stop-reasons"


def _anthropic(status: int, kind: str, message: str) -> Reply:
    return said({"type": "error", "error": {"type": kind, "message": message}}, status)


_ANTHROPIC: list[Row] = [
    ("529, overloaded", _anthropic(529, "overloaded_error", "Overloaded"), again(529), _ANTHROPIC_ERRORS),
    ("401", _anthropic(401, "authentication_error", "invalid x-api-key"), UNKNOWN_KEY, _ANTHROPIC_ERRORS),
    ("400, no credit", _anthropic(400, "invalid_request_error", "Your credit balance is too low."), judged(400),
     _ANTHROPIC_ERRORS),
    ("429", _anthropic(429, "rate_limit_error", "This request would exceed your rate limit."), WAIT,
     _ANTHROPIC_ERRORS),
    ("`end_turn`", said(document(finish="end_turn")), STORED, _ANTHROPIC_STOPS),
    ("`stop_sequence`", said(document(finish="stop_sequence")), STORED, _ANTHROPIC_STOPS),
    ("`max_tokens`", said(document(GOOD[:60], "max_tokens")), asked_again("length"), _ANTHROPIC_STOPS),
    ("`refusal`", said(document("", "refusal")), FILTERED_ANSWER, _ANTHROPIC_STOPS),
    ("usage in its own names", Reply(usage={"input_tokens": 400, "output_tokens": 100}), STORED,
     "https://docs.anthropic.com/en/api/messages"),
    ("its own format, not OpenAI's",
     said({"type": "message", "role": "assistant", "content": [{"type": "text", "text": GOOD}],
           "usage": {"input_tokens": 400, "output_tokens": 100}}),
     GARBAGE, "https://docs.anthropic.com/en/api/messages"),
]  # fmt: skip

_JSON = "https://www.rfc-editor.org/rfc/rfc8259"
_HTTP = "https://www.rfc-editor.org/rfc/rfc9110"
_CLOUDFLARE = "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/"
_GZIPPED = gzip.compress(json.dumps(document()).encode())
_GZIP = {"Content-Encoding": "gzip"}
_BODY = json.dumps(document())
_TEXTS: dict[str, str] = json.loads(GOOD)


def _spelt(*names: str) -> Reply:
    return Reply(content=json.dumps(dict(zip(names, _TEXTS.values(), strict=True))))


_ANY: list[Row] = [
    ("200 with a page of HTML", Reply(raw=b"<html>Sign in</html>", headers={"Content-Type": "text/html"}),
     GARBAGE, _HTTP),
    ("502 with a page of HTML", Reply(502, raw=b"<html>Bad gateway</html>", headers={"Content-Type": "text/html"}),
     again(502), _HTTP),
    ("504, a proxy did not wait", Reply(504, raw=b"upstream request timeout"), again(504, Spent.RESERVED), _HTTP),
    ("524, Cloudflare did not wait", Reply(524, raw=b"<html>"), again(524, Spent.RESERVED), _CLOUDFLARE),
    ("an empty body", Reply(raw=b""), GARBAGE, _HTTP),
    ("204", Reply(204, raw=b""), GARBAGE, _HTTP),
    ("JSON without choices", Reply(raw=b"{}"), GARBAGE, _JSON),
    ("no choice", said({**document(), "choices": []}), GARBAGE, _CHAT),
    ("choices of null", said({**document(), "choices": None}), GARBAGE,
     "github.com/decolua/9router/issues/2727"),
    ("a message of null", said({**document(), "choices": [{"message": None}]}), GARBAGE, _CHAT),
    ("content that is an object", said(document(json.loads(GOOD))), STORED, _CHAT),
    ("content that is one block", said(document({"type": "text", "text": GOOD})), STORED, _CHAT),
    ("content in blocks of blocks", said(document([None, [{"type": "text", "text": {"value": GOOD}}]])), STORED,
     _CHAT),
    ("content that is a number", said(document(7)), GARBAGE, _CHAT),
    ("no reason why it ended", said(document(finish=None)), STORED, _CHAT),
    ("`error` of null beside the answer", said(document(error=None)), STORED, _OPENROUTER_ERRORS),
    ("a byte order mark", Reply(raw=b"\xef\xbb\xbf" + _BODY.encode()), STORED, _JSON),
    ("a key that comes twice", Reply(raw=_BODY.replace('{"id"', '{"usage": null, "id"').encode()), STORED, _JSON),
    ("characters that cannot be stored", Reply(content=GOOD.replace("Chacun", "Chacun\\u0000\\ud83d")), STORED, _JSON),
    ("bytes that are not UTF-8", Reply(raw=_BODY.encode().replace(b"Ville", b"\xe9\xff")), GARBAGE, _JSON),
    ("text after the JSON", Reply(raw=_BODY.encode() + b"\nOK"), GARBAGE, _JSON),
    ("100,000 brackets", Reply(raw=b"[" * 100_000), GARBAGE, _JSON),
    ("a stream that was not asked for", Reply(raw=b"data: " + _BODY.encode() + b"\n\ndata: [DONE]\n\n"), GARBAGE,
     "https://openrouter.ai/docs/api/reference/streaming"),
    ("usage in fractions", Reply(usage={"prompt_tokens": 400.0, "completion_tokens": 100.0}), STORED, _JSON),
    ("usage in parts of tokens", Reply(usage={"prompt_tokens": 399.2, "completion_tokens": "99.5"}), STORED, _JSON),
    ("usage of only a total", Reply(usage={"total_tokens": 500}), UNMETERED, _JSON),
    ("usage in a list", said(document(usage=[400, 100])), UNMETERED, _JSON),
    ("details of usage that are null", Reply(usage={**USAGE, "completion_tokens_details": None}), STORED, _JSON),
    ("usage in texts", Reply(usage={"prompt_tokens": "400", "completion_tokens": "100"}), STORED, _JSON),
    ("usage of NaN", Reply(usage={"prompt_tokens": float("nan"), "completion_tokens": 100}), UNMETERED, _JSON),
    ("usage of less than nothing", Reply(usage={"prompt_tokens": -1, "completion_tokens": 100}), UNMETERED, _JSON),
    ("usage beyond belief", Reply(usage={"prompt_tokens": 10**12, "completion_tokens": 1}), UNMETERED, _JSON),
    ("the answer packed, which was not asked for", Reply(raw=_GZIPPED, headers=_GZIP), STORED, _HTTP),
    ("an answer that ends early", Reply(raw=_BODY.encode()[:-30]), GARBAGE, _HTTP),
    ("the answer packed, and cut", Reply(raw=_GZIPPED[:-20], headers=_GZIP), GARBAGE, _HTTP),
    ("an error packed", Reply(429, raw=gzip.compress(b'{"error": {"code": "insufficient_quota"}}'), headers=_GZIP),
     UNPAID, _HTTP),
    ("said to be packed, and is not", Reply(raw=_BODY.encode(), headers=_GZIP), GARBAGE, _HTTP),
    ("an error packed in a way that is not known", Reply(429, raw=b"\x0b\x02\x80", headers={"Content-Encoding": "br"}),
     WAIT, _HTTP),
    ("an endless body", Reply(stream=lambda: _forever(b" " * 65_536)), GARBAGE, _HTTP),
    ("an endless error", Reply(500, stream=lambda: _forever(b"x" * 65_536)), GARBAGE, _HTTP),
    ("a small body that unpacks to a gigabyte",
     Reply(stream=lambda: iter([gzip.compress(b" " * (1 << 28), 9)] * 4), headers=_GZIP), GARBAGE, _HTTP),
    ("silence", Reply(hang=30), Outcome(Then.AGAIN, "timeout", Spent.RESERVED), _HTTP),
    ("a connection that breaks in the answer", Reply(reset=True), Outcome(Then.AGAIN, "network", Spent.RESERVED), _HTTP),
    ("a redirect to another host", Reply(307, raw=b"", headers={"Location": "http://127.0.0.2:9/v1"}), judged(307), _HTTP),
    ("a redirect to a sign-in page", Reply(302, raw=b"", headers={"Location": "/login"}), judged(302), _HTTP),
    ("a cookie", Reply(headers={"Set-Cookie": "session=1; Path=/"}), STORED, _HTTP),
    ("429, `Retry-After` as a date", Reply(429, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}), WAIT, _HTTP),
    ("429, `Retry-After` a fraction", Reply(429, headers={"Retry-After": "30.5"}), WAIT, _HTTP),
    ("429, `Retry-After` beyond every number", Reply(429, headers={"Retry-After": "1e400"}), WAIT, _HTTP),
    ("429, `Retry-After` a date beyond every number",
     Reply(429, headers={"Retry-After": "Wed, 99999999999999999999 Oct 2015 07:28:00 GMT"}), WAIT, _HTTP),
    ("429, `Retry-After` less than nothing", Reply(429, headers={"Retry-After": "-5"}), WAIT, _HTTP),
    ("429, `Retry-After` as a time in words", Reply(429, headers={"Retry-After": "1m30s"}), WAIT, _HTTP),
    ("429, a page of Cloudflare's", Reply(429, raw=b"<html>error code: 1015</html>"), WAIT, _CLOUDFLARE),
    ("520, Cloudflare's word for anything", Reply(520, raw=b"<html>"), again(520), _CLOUDFLARE),
    ("530, Cloudflare does not reach it", Reply(530, raw=b"error code: 1033"), again(530), _CLOUDFLARE),
    ("200 with a code and a reason", said({"code": 429, "msg": "too many requests", "data": None}), WAIT,
     "github.com/songquanpeng/one-api"),
    ("200 with the status of MiniMax",
     said({"choices": None, "base_resp": {"status_code": 1000, "status_msg": "unknown error"}}), again(502),
     "https://platform.minimaxi.com/document/ChatCompletion"),
    ("407, a proxy wants a name", Reply(407, raw=b"Proxy Authentication Required"), judged(407), _HTTP),
    ("418", Reply(418, raw=b"I'm a teapot"), judged(418), _HTTP),
    ("421", Reply(421, raw=b"Misdirected Request"), judged(421), _HTTP),
    ("425", Reply(425, raw=b"Too Early"), again(425), _HTTP),
    ("409", Reply(409, raw=b"Conflict"), again(409), _HTTP),
    ("422 of FastAPI", said({"detail": [{"loc": ["body", "model"], "msg": "Field required", "type": "missing"}]}, 422),
     judged(422), "https://fastapi.tiangolo.com/tutorial/handling-errors/"),
    ("400 without a body", Reply(400, raw=b""), judged(400), _HTTP),
    ("405", Reply(405, raw=b"Method Not Allowed"), judged(405), _HTTP),
    ("413 of a proxy", Reply(413, raw=b"<html>Request Entity Too Large</html>"), judged(413), _HTTP),
    ("451", Reply(451), judged(451), _HTTP),
    ("tokens of reasoning that no total has",
     Reply(usage={"prompt_tokens": 400, "completion_tokens": 100,
                  "completion_tokens_details": {"reasoning_tokens": 4200}}, tokens=(400, 4300)), STORED, _CHAT),
    ("an answer of no tokens", Reply(usage={"prompt_tokens": 400, "completion_tokens": 0}), UNMETERED, _CHAT),
    ("`refusal` of false", said(document(message={"refusal": False})), STORED, _CHAT),
    ("two drafts, and the answer", Reply(content=f"Essai : {GOOD}\nMieux : {GOOD}\n{{fin}}"), STORED, _CHAT),
    ("an answer with a comma too many", Reply(content=f"{GOOD[:-1]},\n}}"), STORED, _JSON),
    ("an answer without its last brace", Reply(content=GOOD[:-1]), STORED, _JSON),
    ("an answer that ends within a text", Reply(content=GOOD[:-20]), asked_again("schema"), _JSON),
    ("an answer that is JSON in a text", Reply(content=json.dumps(GOOD)), STORED, _JSON),
    ("an answer with its quotes escaped", Reply(content=json.dumps(GOOD)[1:-1]), STORED, _JSON),
    ("names with capitals", _spelt("Texte", "Meta_Description"), STORED, _JSON),
    ("names in another spelling", _spelt(" texte", "métaDescription"), STORED, _JSON),
    ("names in English", _spelt("text", "meta"), asked_again("schema"), _JSON),
    ("a property that was not asked for", Reply(content=json.dumps({**_TEXTS, "langue": "fr"})), STORED, _JSON),
    ("a name that comes twice", Reply(content='{"texte": "Essai.", ' + GOOD[1:]), STORED, _JSON),
    ("NaN in the answer", Reply(content=GOOD[:-1] + ', "note": NaN}'), STORED, _JSON),
    ("a table of Markdown", Reply(content="| texte | meta_description |\n|---|---|\n| Ville | 1 |"),
     asked_again("schema"), _JSON),
    ("a byte order mark before the answer", Reply(content=f"\ufeff{GOOD}"), STORED, _JSON),
    ("a sentence that declines", Reply(content="Je suis désolé, je ne peux pas répondre."), asked_again("schema"),
     _CHAT),
    ("an answer in an object of its own", Reply(content=f'{{"reponse": {GOOD}}}'), STORED, _CHAT),
]  # fmt: skip

BY_PROVIDER: Mapping[str, list[Row]] = {
    "OpenAI": _OPENAI,
    "Azure": _AZURE,
    "Mistral": _MISTRAL,
    "Gemini": _GEMINI,
    "DeepSeek": _DEEPSEEK,
    "Groq": _GROQ,
    "OpenRouter": _OPENROUTER,
    "LiteLLM": _LITELLM,
    "Ollama": _OLLAMA,
    "LM Studio": _LM_STUDIO,
    "llama.cpp": _LLAMACPP,
    "vLLM": _VLLM,
    "Anthropic": _ANTHROPIC,
    "any": _ANY,
}
BEHAVIOURS = [Behaviour(provider, *row) for provider, rows in BY_PROVIDER.items() for row in rows]
