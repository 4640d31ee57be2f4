"""A token endpoint: OAuth 2.0 client credentials (RFC 6749, section 4.4), signed tokens, and the keys to check them."""

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE, ISSUER, KEY_ID = "kafka", "https://issuer.test", "key-1"


class TokenEndpoint:
    """Gives tokens to `clients` (id -> secret) over HTTPS on a free port of localhost; a context manager.

    `lifetime_s` is that of the tokens given from now on; with `forged` somebody else signs them.
    """

    def __init__(self, clients: dict[str, str], tls: ssl.SSLContext) -> None:
        self.heal()
        self.scopes: list[str] = []
        self._key, self._other_key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            """Answers POST /token."""

            def do_POST(self) -> None:
                body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                endpoint.scopes += body.get("scope", [])
                kind, _, encoded = self.headers.get("Authorization", "").partition(" ")
                name, _, secret = base64.b64decode(encoded).decode().partition(":")
                if kind != "Basic" or clients.get(name) != secret or body["grant_type"] != ["client_credentials"]:
                    self._answer(401, {"error": "invalid_client", "error_description": "unknown client or secret"})
                else:
                    token = endpoint.token(name)
                    answer = {"access_token": token, "token_type": "Bearer", "expires_in": int(endpoint.lifetime_s)}
                    self._answer(200, answer)

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}/token"

    def heal(self) -> None:
        """Give good tokens from now on."""
        self.lifetime_s = 300.0
        self.forged = False

    def token(self, subject: str) -> str:
        """A token for `subject`."""
        now = time.time()
        claims = {"sub": subject, "aud": AUDIENCE, "iss": ISSUER, "iat": now - 1, "exp": now + self.lifetime_s}
        key = self._other_key if self.forged else self._key
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": KEY_ID})

    def keys(self) -> str:
        """The JSON Web Key Set that checks its tokens."""
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**key, "kid": KEY_ID, "alg": "RS256", "use": "sig"}]})

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
