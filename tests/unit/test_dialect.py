"""A server that refuses a parameter is asked without it, and what it refuses is told in many shapes."""

from collections.abc import Mapping
from typing import Any

import pytest

from processors.texts.content import prompts
from processors.texts.content.answers import read
from processors.texts.content.prompts import Options
from processors.texts.kinds import KINDS
from processors.texts.server.dialect import NAMES, Dialect
from processors.texts.server.failures import CallError, Trouble, of_status
from processors.texts.server.provider import Provider
from processors.texts.server.refusals import refused
from tests.openai_server import Call, Reply, ScriptedOpenAI

NAME = {"nom": "Rennes", "region": "Bretagne"}
CITY = KINDS["VILLE"]
ALL = Options("none", 900, 0.2)
BODY = {**prompts.prompt(CITY, NAME, "m", ALL).body, "store": False}

TOKENS, FORMAT = "max_completion_tokens", "response_format"
PYDANTIC = {
    "type": "extra_forbidden",
    "loc": ["body", TOKENS],
    "msg": "Extra inputs are not permitted",
}

REFUSALS: Mapping[str, tuple[object, set[str]]] = {
    "OpenAI, parameter": (
        {
            "message": "Unsupported parameter: 'max_completion_tokens' is not supported with this model.",
            "type": "invalid_request_error",
            "param": TOKENS,
            "code": "unsupported_parameter",
        },
        {TOKENS},
    ),
    "OpenAI, value": (
        {
            "message": "Unsupported value: 'temperature' does not support 0.2 with this model. Only the "
            "default (1) value is supported.",
            "param": "temperature",
            "code": "unsupported_value",
        },
        {"temperature"},
    ),
    "OpenAI, unknown": (
        {"message": "Unknown parameter: 'store'.", "param": "store", "code": "unknown_parameter"},
        {"store"},
    ),
    "OpenAI, format": (
        {
            "message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with "
            "this model.",
            "param": FORMAT,
            "code": None,
        },
        {FORMAT},
    ),
    "OpenAI, a keyword of the schema": (
        {"message": "Invalid schema for response_format 'ville'.", "param": FORMAT, "code": None},
        {FORMAT},
    ),
    "Azure": (
        {
            "message": "response_format value as json_schema is enabled only for api versions "
            "2024-08-01-preview and later",
            "param": None,
        },
        {FORMAT},
    ),
    "Azure, older": (
        {"message": "Unrecognized request arguments supplied: max_completion_tokens, store", "param": None},
        {TOKENS, "store"},
    ),
    "FastAPI": ({"detail": [PYDANTIC]}, {TOKENS}),
    "FastAPI, older": (
        {"detail": [{"loc": ["body", "store"], "type": "value_error.extra", "msg": "extra fields not permitted"}]},
        {"store"},
    ),
    "Mistral": (
        {
            "object": "error",
            "message": {"detail": [{**PYDANTIC, "loc": ["body", "reasoning_effort"]}]},
            "type": "invalid_request_error",
        },
        {"reasoning_effort"},
    ),
    "a literal of a format": (
        {"detail": [{"loc": ["body", FORMAT, "type"], "type": "literal_error", "msg": "Input should be 'text'"}]},
        {FORMAT},
    ),
    "vLLM": (
        {"message": f"[{PYDANTIC | {'loc': ('body', TOKENS)}}]", "type": "BadRequestError", "param": None},
        {TOKENS},
    ),
    "Groq, value of the format": (  # vercel/ai#7808
        {
            "message": "'response_format.type' : value is not one of the allowed values ['text','json_object']",
            "type": "invalid_request_error",
        },
        {FORMAT, "json_object"},  # which was not sent
    ),
    "Groq": (
        {"message": "property 'store' is unsupported", "type": "invalid_request_error"},
        {"store"},
    ),
    "Groq, format": (
        {"message": "This model does not support response format `json_schema`."},
        {FORMAT},
    ),
    "DeepSeek": ({"message": "This response_format type is unavailable now"}, {FORMAT}),
    "LiteLLM": (
        {
            "message": "litellm.UnsupportedParamsError: groq does not support parameters: "
            "['reasoning_effort', 'temperature'], for model=m.",
            "param": None,
        },
        {"reasoning_effort", "temperature"},
    ),
    "OpenRouter": (
        {
            "message": "Provider returned error",
            "code": 400,
            "metadata": {
                "raw": '{"error": {"message": "Unsupported parameter: \'temperature\'", "param": "temperature"}}',
                "provider_name": "Azure",
            },
        },
        {"temperature"},
    ),
    "a text": ("Unrecognized request argument supplied: max_completion_tokens", {TOKENS}),
    "Gemini": (
        [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "store": Cannot find field.'}}],
        {"store"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("who", REFUSALS)
def test_a_refusal_in_every_shape(who: str) -> None:
    """The parameters that an error refuses are found in each shape that servers have for it."""
    error, names = REFUSALS[who]

    found = refused(error)

    assert found - {"json_schema"} == names
    assert of_status(400, error, {}).refused == found


OTHERS: tuple[object, ...] = (
    {"message": "max_tokens is too large: 100000. This model supports at most 16384", "param": TOKENS},
    {"detail": [{"loc": ["body", TOKENS], "type": "less_than_equal", "msg": "Input should be less than 4096"}]},
    {"detail": [{"loc": ["body", "messages", 0, "name"], "type": "extra_forbidden", "msg": "Extra inputs"}]},
    {"message": "Unknown parameter: 'seed'.", "param": "seed", "code": "unknown_parameter"},
    {"message": "Your account does not support this model in our store."},
    {"message": "The temperature of this request is not supported by our policy."},
    {"message": "This model's maximum context length is 8192 tokens.", "param": "messages"},
    {"loc": None, "param": 3, "detail": [[["x"]]], "message": None},
    [],
    None,
    7,
)  # fmt: skip


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_what_is_no_refusal_of_a_parameter(error: object) -> None:
    """A value out of range, a parameter that is not ours, a word of the language: judged as ever."""
    assert refused(error) == frozenset()


def test_only_a_refused_request_names_parameters() -> None:
    """Neither a server in trouble nor a limit changes how a server is asked; some say 500 for 400."""
    error = {
        "message": "Unknown parameter: 'store'.",
        "param": "store",
        "code": "unknown_parameter",
    }

    assert {status for status in range(400, 600) if of_status(status, error, {}).refused} == {
        400,
        422,
        500,
        501,
    }


def test_a_body_for_every_server() -> None:
    """The limit of the answer keeps its value, the schema stands in the prompt, the rest is left out."""
    tokens = Dialect(frozenset({TOKENS})).spoken(BODY)
    assert (tokens["max_tokens"], TOKENS in tokens) == (900, False)

    some = Dialect(frozenset({"json_schema"})).spoken(BODY)
    assert some[FORMAT] == {"type": "json_object"}
    assert '"meta_description"' in some["messages"][0]["content"]
    assert some["messages"][1:] == BODY["messages"][1:]

    bare = Dialect(NAMES - {FORMAT}).spoken(BODY)
    assert bare.keys() == {"model", "messages", "max_tokens"}
    assert Dialect().spoken(BODY) == BODY


def test_no_dialect_says_more_than_is_reserved() -> None:
    """The bound of what is sent holds for the schema in the prompt as well."""
    bound, out = prompts.most_tokens(BODY)
    bare = Dialect(NAMES - {FORMAT}).spoken(BODY)

    assert sum(len(message["content"].encode()) for message in bare["messages"]) <= bound
    assert (out, prompts.most_tokens(bare)[1]) == (900, 900)


def test_options_are_sent_and_decide_the_answer() -> None:
    """Each option is in what is sent, and so in the key of the answer; none is sent unasked."""
    plain = prompts.prompt(CITY, NAME, "m")
    kinds = {
        "reasoning_effort": Options(effort="low"),
        "max_completion_tokens": Options(output_tokens=900),
        "temperature": Options(temperature=0.0),
        "top_k": Options(extra={"top_k": 20}),
    }
    prompted = {name: prompts.prompt(CITY, NAME, "m", options) for name, options in kinds.items()}

    assert plain.body.keys() == {"model", "messages", "response_format", "max_completion_tokens"}
    assert {name: prompt.body[name] for name, prompt in prompted.items()} == {
        "reasoning_effort": "low", "max_completion_tokens": 900, "temperature": 0.0, "top_k": 20,
    }  # fmt: skip
    assert len({plain.hash, *(prompt.hash for prompt in prompted.values())}) == 5
    assert {prompt.input_hash for prompt in prompted.values()} == {plain.input_hash}


def refusing(*names: str) -> Any:
    """The script of a server that refuses these, one at a time, as OpenAI does."""

    def script(call: Call) -> Reply:
        kind = call.body.get(FORMAT, {}).get("type")
        for name in names:
            if name in call.body or name == kind:
                param = FORMAT if name == kind else name
                return Reply(
                    400, error={"message": "no", "param": param, "code": "unsupported_value"}
                )
        return Reply()

    return script


async def test_a_server_is_learned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call for each refusal, of which none is the request's fault; then it is asked as it likes."""
    monkeypatch.setenv("NO_PROXY", "*")
    troubles = []
    with ScriptedOpenAI() as server:
        server.script = refusing(
            TOKENS, "json_schema", "json_object", "temperature", "reasoning_effort"
        )
        provider = Provider(lambda: "sk-test", server.url, 20.0)
        for _ in range(5):
            with pytest.raises(CallError) as caught:
                await provider.ask(BODY)
            troubles.append((caught.value.trouble, caught.value.code))
        reply = await provider.ask(BODY)
        await provider.close()

    assert troubles == [(Trouble.DIALECT, "parameter")] * 5
    assert "Rennes" in str(read(reply.text, CITY.answer))
    assert len(server.calls) == 6
    assert server.calls[-1].body.keys() == {"model", "messages", "max_tokens", "store"}


async def test_calls_that_were_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was sent before another was refused is asked again as well."""
    provider = Provider(lambda: "sk-test", "http://127.0.0.1:9/v1", 20.0)
    error = of_status(400, {"param": TOKENS, "code": "unknown_parameter"}, {})

    judged = [provider.judged(error, BODY).trouble for _ in range(2)]
    changed = provider.judged(error, provider.spoken(BODY))
    await provider.close()

    assert judged == [Trouble.DIALECT] * 2
    assert changed is error
