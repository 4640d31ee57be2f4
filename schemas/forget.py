"""To forget a customer: the request, which holds the name until the work is done, and the receipt, which does not."""

import hashlib
import hmac

from msgspec import Struct


class ForgetRequest(Struct, frozen=True, kw_only=True):
    """One message of `corredor.forget`; erased like everything else that holds the subject, as the last of all."""

    #: Names the request and its receipt.
    request: str
    subject: str
    #: Hexadecimal, 16 bytes.
    salt: str
    #: When it was made, epoch seconds.
    asked_at: float
    #: Rows of each ClickHouse table that held the subject then.
    rows: dict[str, int] = {}


class ForgetReceipt(Struct, frozen=True, kw_only=True):
    """One message of `corredor.forgotten`, one row of `forgotten`: that it was done, without saying who it was.

    Whoever knows the subject can check a receipt: `digest` is the SHA-256 of salt and subject. Times are epoch seconds.
    """

    request: str
    asked_at: float
    done_at: float
    #: Hexadecimal.
    salt: str
    digest: str
    #: Rows erased in each ClickHouse table; records that stand no more in each topic.
    rows: dict[str, int]
    records: dict[str, int]
    #: Topics where records with the subject still stand, and for how many seconds at most; None: for as long as the
    #: embedded Kafka runs.
    remaining: dict[str, float | None] = {}

    def is_of(self, subject: str) -> bool:
        """Whether it is the receipt of this subject."""
        return hmac.compare_digest(self.digest, digest(self.salt, subject))


def digest(salt: str, subject: str) -> str:
    """SHA-256 of the salt (hexadecimal) and the subject, hexadecimal."""
    return hashlib.sha256(bytes.fromhex(salt) + subject.encode()).hexdigest()
