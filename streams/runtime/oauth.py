"""Tokens for aiokafka, from the same endpoint as librdkafka's: OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

import asyncio
import threading
import time
from typing import Any

import httpx
import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from streams.runtime.security import authorities
from streams.runtime.settings import Settings

#: A token is asked for anew after this part of its life, as librdkafka does it.
_RENEW_AT = 0.8
#: The life of a token that says nothing of it. Seconds.
_UNSAID_S = 60.0
_TIMEOUT_S = 10.0


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float = _UNSAID_S


_answer = msgspec.json.Decoder(_Answer).decode


class TokenProvider(AbstractTokenProvider):
    """Fetches a token when one is wanted and the last one is old. Safe to share between event loops and threads."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        """`transport` is for tests."""
        self._url = settings.kafka_oauth_url
        context = authorities(settings, "kafka_oauth_ca")
        secret = settings.kafka_oauth_client_secret.get_secret_value()
        self._client = httpx.Client(
            auth=(settings.kafka_oauth_client_id, secret), verify=context, transport=transport, timeout=_TIMEOUT_S
        )
        self._form = {"grant_type": "client_credentials"}
        if settings.kafka_oauth_scope:
            self._form["scope"] = settings.kafka_oauth_scope
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = float("-inf")

    async def token(self) -> str:
        """A token that is valid now. Raises KafkaConnectionError, after which aiokafka tries again."""
        return await asyncio.to_thread(self._get)

    def extensions(self) -> dict[str, Any]:
        """SASL extensions: none."""
        return {}

    def _get(self) -> str:
        with self._lock:
            if time.monotonic() >= self._renew_at:
                asked_at = time.monotonic()
                answer = self._fetch()
                self._token = answer.access_token
                self._renew_at = asked_at + _RENEW_AT * answer.expires_in
            return self._token

    def _fetch(self) -> _Answer:
        try:
            response = self._client.post(self._url, data=self._form)
            response.raise_for_status()
            return _answer(response.content)
        except httpx.HTTPStatusError as error:
            said = f"status {error.response.status_code}"
        except httpx.TransportError as error:
            said = str(error)
        except msgspec.DecodeError:
            # Not what it said: it may hold a token.
            said = "its answer is no token (RFC 6749, section 5.1)"
        raise KafkaConnectionError(f"no token for Kafka from {self._url}: {said}")
