"""The stage of one process, as its settings say."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

from processors.settings import Settings
from processors.texts.content import prompts
from processors.texts.content.disclosure import disclosure
from processors.texts.content.prompts import Options
from processors.texts.content.vocabulary import Count, tokens_of
from processors.texts.model.answer_handling import Terms
from processors.texts.model.budgets import Budgets, has_limit, known_price
from processors.texts.model.call_limits import Limits
from processors.texts.server.provider import Provider, is_openai
from schemas.runtime.descriptors import most_descriptors
from schemas.values.text_prices import EFFORTS, Price


def terms(settings: Settings, budgets: Budgets | None = None) -> Terms:
    """With budgets that operators may change meanwhile, else the settings'. Raises ConfigurationError
    where a budget is set for a model without a price, or for a kind or field that does not exist."""
    price = settings.ai_price() or Price(Decimal(0), Decimal(0), datetime.now(UTC).date())
    if has_limit(settings.ai_budgets()):
        price = known_price(settings)
    options = Options(
        settings.ai_reasoning_effort or EFFORTS.get(settings.ai_model),
        settings.ai_output_tokens,
        settings.ai_temperature,
        settings.ai_extra_body or {},
    )
    shape = f"{settings.openai_base_url} {prompts.shape(settings.ai_model, options)}"
    return Terms(
        settings.ai_model,
        Limits(
            settings.ai_model,
            settings.ai_requests_per_minute,
            settings.ai_tokens_per_minute,
            settings.ai_window_seconds,
            settings.ai_concurrency,
            settings.ai_timeout_seconds,
            settings.ai_breaker_failures,
            settings.ai_breaker_seconds,
            budgets or settings.ai_budgets(),
            sha256(shape.encode()).hexdigest(),
        ),
        price,
        settings.ai_retry_seconds,
        settings.ai_retries,
        settings.ai_import_seconds,
        settings.ai_batch,
        disclosure(settings.ai_kinds, settings.ai_leave_out),
        options,
        _count(settings),
    )


def _count(settings: Settings) -> Count | None:
    """Counts tokens; it has loaded what it needs, which takes seconds."""
    count = tokens_of(settings.ai_model) if is_openai(settings.openai_base_url) else None
    if count is not None:
        count("")
    return count


def batch_terms(single: Terms) -> Terms:
    """The terms of calls, for batches: half the price, and a breaker and an account of their own."""
    price = single.price
    return replace(
        single,
        limits=replace(single.limits, model=f"{single.asked_model} by batch"),
        price=Price(price.input / 2, price.output / 2, price.day),
    )


def provider(settings: Settings) -> Provider | None:
    """The client; None where there is neither a key nor a server of one's own."""
    key, url = settings.current_key, settings.openai_base_url
    if not key() and url is None:
        return None
    most_descriptors()  # each call has a connection: up to 1,000
    tls = None if settings.ai_ca is None else ssl.create_default_context(cafile=settings.ai_ca)
    return Provider(key, url, settings.ai_timeout_seconds, tls)
