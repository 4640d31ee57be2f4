"""aiokafka's tokens: fetched once, renewed in time, and no word of them in an error."""

import asyncio

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError

from streams.runtime import oauth
from streams.runtime.oauth import TokenProvider
from streams.runtime.settings import Settings, load_settings


@pytest.fixture
def settings() -> Settings:
    return load_settings(
        kafka="broker:9093",
        kafka_security="sasl_ssl",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_oauth_url="https://idp.test/token",
        kafka_oauth_client_id="client",
        kafka_oauth_client_secret="the-secret",
        kafka_oauth_scope="kafka",
    )


def tokens(provider: TokenProvider, count: int) -> list[str]:
    return [asyncio.run(provider.token()) for _ in range(count)]


def test_a_token_is_kept_for_most_of_its_life_and_then_renewed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"access_token": f"t-{len(asked)}", "expires_in": 100})

    now = 1000.0
    monkeypatch.setattr(oauth.time, "monotonic", lambda: now)
    provider = TokenProvider(settings, httpx.MockTransport(answer))
    assert tokens(provider, 3) == ["t-1"] * 3
    now += 79
    assert tokens(provider, 1) == ["t-1"]
    now += 2
    assert tokens(provider, 2) == ["t-2"] * 2
    assert asked[0].content == b"grant_type=client_credentials&scope=kafka"
    assert httpx.BasicAuth("client", "the-secret")._auth_header == asked[0].headers["Authorization"]


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(401, json={"error": "the-secret is wrong"}), "status 401"),
        (httpx.Response(200, json={"token": "the-token"}), "its answer is no token"),
        (httpx.Response(200, text="<html>the-token</html>"), "its answer is no token"),
        (httpx.ConnectError("no route"), "no route"),
    ],
)
def test_without_a_token_aiokafka_is_told_to_try_again_and_nothing_secret_is_said(
    settings: Settings, response: httpx.Response | Exception, said: str
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        if isinstance(response, Exception):
            raise response
        return response

    with pytest.raises(KafkaConnectionError) as away:
        tokens(TokenProvider(settings, httpx.MockTransport(answer)), 1)
    assert "https://idp.test/token" in str(away.value)
    assert said in str(away.value)
    assert "the-secret" not in str(away.value)
    assert "the-token" not in str(away.value)


def test_what_was_refused_is_asked_for_again(settings: Settings) -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, json={"access_token": "t"})])
    provider = TokenProvider(settings, httpx.MockTransport(lambda _: next(answers)))
    with pytest.raises(KafkaConnectionError):
        tokens(provider, 1)
    assert tokens(provider, 2) == ["t", "t"]
