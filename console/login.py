"""Who may look: anyone on this machine, who knows the password, or whom a login proxy has let through."""

import hashlib
import hmac
import time
from collections import defaultdict, deque
from collections.abc import Callable

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

COOKIE = "corredor_session"
#: A login lasts so long. Seconds.
LASTS_S = 12 * 3600
#: So many wrong passwords from one address within this time, then it has to wait. Seconds.
MOST_WRONG, WITHIN_S = 5, 60.0
_ADDRESSES = 10_000


class Login:
    """Checks requests. With neither a password nor a proxy's header everybody is admitted."""

    def __init__(self, password: str, proxy_header: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password = hashlib.sha256(password.encode()).digest() if password else None
        self._proxy_header = proxy_header
        self._clock = clock
        self._wrong: dict[str, deque[float]] = defaultdict(deque)
        self._serializer: URLSafeTimedSerializer | None = None
        if password:
            # From the password, so that every copy knows it and a new password ends all sessions; slow to guess from.
            key = hashlib.scrypt(password.encode(), salt=b"corredor.console.session", n=2**14, r=8, p=1)
            self._serializer = URLSafeTimedSerializer(
                key, salt="session", signer_kwargs={"digest_method": hashlib.sha256}
            )

    @property
    def open(self) -> bool:
        """Whether everybody is admitted."""
        return self._password is None and not self._proxy_header

    @property
    def by_password(self) -> bool:
        """Whether there is a password to log in with."""
        return self._password is not None

    def admits(self, request: Request) -> bool:
        """Whether this request may see the results."""
        if self.open or (self._proxy_header and request.headers.get(self._proxy_header, "").strip()):
            return True
        return self.by_session(request)

    def by_session(self, request: Request) -> bool:
        """Whether it carries the cookie of a login that has not run out."""
        if self._serializer is None:
            return False
        try:
            said: object = self._serializer.loads(request.cookies.get(COOKIE, ""), max_age=LASTS_S)
        except BadSignature:
            return False
        return said == "in"

    def wait_s(self, address: str) -> float:
        """How long this address has to wait before it may try a password again; 0: not at all."""
        wrong = self._wrong.get(address)
        while wrong and wrong[0] <= self._clock() - WITHIN_S:
            wrong.popleft()
        if not wrong:
            self._wrong.pop(address, None)
            return 0.0
        return wrong[0] + WITHIN_S - self._clock() if len(wrong) >= MOST_WRONG else 0.0

    def right(self, given: str, address: str) -> bool:
        """Whether it is the password; takes as long for one that is nearly right. A wrong one is remembered."""
        if self._password is None:
            return False
        if hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._password):
            self._wrong.pop(address, None)
            return True
        if len(self._wrong) < _ADDRESSES or address in self._wrong:
            self._wrong[address].append(self._clock())
        return False

    def let_in(self, response: Response, *, https: bool) -> None:
        """Give the browser the cookie of a login."""
        if self._serializer is None:
            raise ValueError("there is no password, so there are no sessions")
        token = str(self._serializer.dumps("in"))
        response.set_cookie(COOKIE, token, LASTS_S, httponly=True, samesite="lax", secure=https)

    def let_out(self, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")
