"""Who may look, and what every answer carries."""

import re

import httpx
import pytest
from pydantic import SecretStr

from console.login import LASTS_S, MOST_WRONG, WITHIN_S, Login
from console.security import HEADERS
from schemas.errors import UsageError
from streams.runtime.settings import Settings, load_settings
from tests.console.conftest import browse
from tests.console.test_pages import PAGES

PASSWORD = "correct horse ñ battery"


def guarded(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update=changes or {"console_password": SecretStr(PASSWORD)})


def test_every_answer_carries_the_security_headers(client: httpx.Client) -> None:
    paths = (*PAGES, "/nothing", "/choose?lang=en", "/static/console.css", "/static/none", "/ready", "/login")
    for path in paths:
        headers = client.get(path).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS, path
        assert "server" not in headers or headers["server"] == "uvicorn"
    assert client.get("/").headers["cache-control"] == "no-store"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_no_page_holds_a_script_a_style_or_anything_from_elsewhere(client: httpx.Client) -> None:
    pages = [client.get(path).text for path in PAGES] + [client.post("/journey", data={"who": "order-7/ñ"}).text]
    for page in pages:
        assert re.findall(r"<script(?![^>]*\bsrc=\"/static/)", page) == []
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=\"|javascript:", page) == []
        if 'class="runbook"' not in page:
            assert re.findall(r"(?:src|href|action)=\"(?!/|#)([^\"]*)\"", page) == []


def test_with_a_password_nothing_is_shown_before_the_login(settings: Settings) -> None:
    with browse(guarded(settings)) as client:
        for path in PAGES:
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (303, ""), path
            assert answer.headers["location"] == "/login?next=" + path.partition("?")[0]
        assert client.post("/journey", data={"who": "x"}).status_code == 303
        assert client.get("/live", follow_redirects=True).status_code == 401
        assert client.get("/login").status_code == client.get("/static/console.css").status_code == 200
        assert client.get("/ready").text == "ready\n"


def test_the_password_lets_in_with_a_cookie_that_scripts_cannot_read_and_logging_out_ends_it(
    settings: Settings,
) -> None:
    with browse(guarded(settings)) as client:
        wrong = client.post("/login", data={"password": "guess", "next": "/incidents"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert "That is not the password" in wrong.text and "guess" not in wrong.text
        right = client.post("/login", data={"password": PASSWORD, "next": "/incidents"})
        assert (right.status_code, right.headers["location"]) == (303, "/incidents")
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
        assert client.get("/").status_code == 200
        assert client.post("/login", data={"password": PASSWORD, "next": "//evil"}).headers["location"] == "/"
        client.post("/logout")
        assert client.get("/").status_code == 303


def test_a_cookie_that_was_tampered_with_or_made_with_another_password_is_none(settings: Settings) -> None:
    with browse(guarded(settings)) as client:
        client.post("/login", data={"password": PASSWORD})
        token = client.cookies["corredor_session"]
    with browse(guarded(settings)) as client:
        assert client.get("/", headers={"Cookie": f"corredor_session={token}"}).status_code == 200
        for other in (token[:-2] + "xx", "x" + token, "", "a.b.c"):
            assert client.get("/", headers={"Cookie": f"corredor_session={other}"}).status_code == 303
    with browse(guarded(settings, console_password=SecretStr("another"))) as client:
        assert client.get("/", headers={"Cookie": f"corredor_session={token}"}).status_code == 303


def test_wrong_passwords_from_one_address_have_to_wait(settings: Settings) -> None:
    with browse(guarded(settings)) as client:
        answers = [client.post("/login", data={"password": f"guess {number}"}) for number in range(MOST_WRONG + 1)]
        assert [answer.status_code for answer in answers] == [401] * MOST_WRONG + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= WITHIN_S
        assert client.post("/login", data={"password": PASSWORD}).status_code == 429


def test_the_wait_ends_and_counts_each_address_for_itself() -> None:
    now = [0.0]
    login = Login(PASSWORD, "", lambda: now[0])
    for _ in range(MOST_WRONG):
        assert not login.right("guess", "a")
    assert login.wait_s("a") == WITHIN_S and login.wait_s("b") == 0
    now[0] = WITHIN_S
    assert login.wait_s("a") == 0 and login.right(PASSWORD, "a")
    assert LASTS_S <= 86400


def test_a_login_proxy_names_the_user_in_its_header(settings: Settings) -> None:
    with browse(guarded(settings, console_proxy_header="X-Forwarded-User")) as client:
        assert client.get("/", headers={"X-Forwarded-User": "ana"}).status_code == 200
        for headers in ({"X-Forwarded-User": ""}, {"X-Other": "ana"}, {}):
            answer = client.get("/", headers=headers)
            assert (answer.status_code, "proxy" in answer.text) == (401, True), headers


def test_a_form_of_another_site_is_refused(client: httpx.Client) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ):
        assert client.post("/journey", data={"who": "x"}, headers=headers).status_code == 403, headers
    own = f"http://{client.base_url.netloc.decode()}"
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": own}, {"Origin": "null"}, {}):
        assert client.post("/journey", data={"who": "x"}, headers=headers).status_code == 200, headers


def test_without_a_login_only_this_machine_s_names_are_answered(client: httpx.Client) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/", headers={"Host": "localhost:8080"}).status_code == 200


def test_listening_to_the_world_without_a_login_is_refused() -> None:
    from console.serve import serve

    with pytest.raises(UsageError, match="without a login anyone could read"):
        serve(load_settings(console_host="0.0.0.0", console_port=0), None, lambda line: None)


def test_the_password_is_in_no_text_of_the_settings(settings: Settings) -> None:
    assert PASSWORD not in f"{guarded(settings)} {guarded(settings)!r}"
