"""E-mail addresses, phone numbers and payment card numbers in a text, with few false alarms.

Not taken for personal: order numbers, timestamps, UUIDs, EANs, prices, coordinates, numbers of parcels; see the table
in tests/model/test_personal.py.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import phonenumbers

Kind = Literal["e-mail", "phone", "card"]
KINDS: tuple[Kind, ...] = ("e-mail", "phone", "card")

#: Of one event so many candidates are looked up among the world's phone numbers (about 0.1 ms each); what comes after
#: them is taken for what it looks like, so that no event can keep ingest busy.
_LOOKUPS = 32
#: Shorter ones, with the code of their country, are too few to matter (ITU-T E.164 has at most 15 digits).
_SHORTEST = 8
#: RFC 5321: a local part has at most 64 octets.
_LOCAL = 64

_AT = re.compile(r"@|%40")
_STOP = frozenset(" \t\r\n\"'`<>()[]{}|,;:=&?/\\@")
#: A domain with a top level of letters; `icon@2x.png` is a file.
_DOMAIN = re.compile(r"(?![1-9]x\.)(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}")

_INTERNATIONAL = re.compile(r"(?<![\w+/.])(?:\+|%2[Bb])[ ]?\(?[1-9](?:[ ().\-/]{0,3}\d){7,17}(?!\w)")
#: 00 is how Europe dials +. Without gaps, or with fewer than 13 digits, it could be any number.
_DIALLED = re.compile(r"(?<![\w+/.-])00 ?([1-9]\d{0,2}[ /().-]{1,2}\d(?:[ ()/-]{0,3}\d){8,14})(?!\w)")
#: (202) 555-0123, and Brazil's (11) 98765-4321.
_NATIONAL = re.compile(
    r"(?<!\w)(?:\([2-9]\d\d\) ?[2-9]\d\d[-. ]\d{4}|\([1-9][1-9]\) ?(?:9\d{4}|[2-5]\d{3})[- ]\d{4})(?![-.]?\w)"
)
#: ISO 6709: latitude and longitude.
_COORDINATES = re.compile(r"[+-]\d{2,6}\.\d+[+-]\d{3,7}\.\d+")

_CARD = re.compile(
    r"(?<![\w.])(?:"
    r"(?<!\d[ -])\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?(?!\1\d)"
    r"|(?<!\d[ -])\d{4}([ -])\d{6}\2\d{4,5}(?!\2\d)"
    r"|\d{14,19}"
    r")(?!\w)(?!\.\d)"
)
#: Ranges of the first six digits and the lengths in use (ISO/IEC 7812 and what the issuers publish). Visa's 13 digits
#: are history, and would hit one in ten EANs of Germany.
_ISSUERS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (220000, 220499, (16,)),  # Mir
    (222100, 272099, (16,)),  # Mastercard
    (300000, 305999, (14,)),  # Diners Club
    (309500, 309599, (14,)),
    (340000, 349999, (15,)),  # American Express
    (352800, 358999, (16,)),  # JCB
    (360000, 369999, (14,)),  # Diners Club
    (370000, 379999, (15,)),  # American Express
    (380000, 399999, (14,)),  # Diners Club
    (400000, 499999, (16, 19)),  # Visa
    (501800, 501899, (16, 18, 19)),  # Maestro
    (502000, 502099, (16, 18, 19)),
    (503800, 503899, (16, 18, 19)),
    (504175, 504175, (16,)),  # Elo
    (506699, 506778, (16,)),
    (510000, 559999, (16,)),  # Mastercard
    (589300, 589399, (16, 18, 19)),  # Maestro
    (601100, 601199, (16, 19)),  # Discover
    (606282, 606282, (16,)),  # Hipercard
    (620000, 629999, (16, 17, 18, 19)),  # UnionPay
    (630400, 630499, (16, 18, 19)),  # Maestro
    (636297, 636368, (16,)),  # Elo
    (644000, 659999, (16, 19)),  # Discover
    (675900, 675999, (16, 18, 19)),  # Maestro
    (676100, 676399, (16, 18, 19)),
)


class Found(NamedTuple):
    """Where in a text something looks personal."""

    start: int
    end: int
    kind: Kind


class Finder:
    """Looks for what looks personal in the texts of one event."""

    def __init__(self) -> None:
        self._lookups = _LOOKUPS

    def find(self, text: str, kinds: tuple[Kind, ...] = KINDS) -> list[Found]:
        """What looks personal, in the order of the text, none overlapping another."""
        found: list[Found] = []
        if "e-mail" in kinds and ("@" in text or "%40" in text):
            found += _addresses(text)
        if "phone" in kinds and ("+" in text or "(" in text or "00" in text or "%2" in text):
            found += self._phones(text)
        if "card" in kinds and len(text) >= 14:
            found += _cards(text)
        if len(found) < 2:
            return found
        apart: list[Found] = []
        for each in sorted(found):
            if not apart or each.start >= apart[-1].end:
                apart.append(each)
        return apart

    def mask(self, text: str, kinds: tuple[Kind, ...] = KINDS) -> str:
        """The text with `[e-mail]`, `[phone]` or `[card]` in the place of each."""
        pieces = []
        at = 0
        for start, end, kind in self.find(text, kinds):
            pieces += [text[at:start], f"[{kind}]"]
            at = end
        return "".join([*pieces, text[at:]])

    def _phones(self, text: str) -> Iterator[Found]:
        for match in _INTERNATIONAL.finditer(text):
            if _COORDINATES.match(text, match.start()) is not None:
                continue
            sign = 1 if match[0][0] == "+" else 3
            if (end := self._in_service(match[0][sign:])) is not None:
                yield Found(match.start(), match.start() + sign + end, "phone")
        for match in _DIALLED.finditer(text):
            if (end := self._in_service(match[1])) is not None:
                yield Found(match.start(), match.start(1) + end, "phone")
        for match in _NATIONAL.finditer(text):
            yield Found(match.start(), match.end(), "phone")

    def _in_service(self, digits: str) -> int | None:
        """Where the number ends, if some country gives out one that begins so: what follows may be a time of day."""
        end = len(digits)
        while end > 0 and len(re.sub(r"\D", "", digits[:end])) >= _SHORTEST:
            if self._lookups == 0:
                return end
            self._lookups -= 1
            if _is_given_out(digits[:end]):
                return end
            end = max(digits.rfind(" ", 0, end), digits.rfind("/", 0, end))
        return None


def _is_given_out(digits: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse("+" + digits))
    except phonenumbers.NumberParseException:
        return False


def _addresses(text: str) -> Iterator[Found]:
    for sign in _AT.finditer(text):
        start = end = sign.start()
        while start > 0 and end - start < _LOCAL and text[start - 1] not in _STOP:
            start -= 1
        if start < end and (domain := _DOMAIN.match(text, sign.end())) is not None:
            yield Found(start, domain.end(), "e-mail")


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        digits = match[0].replace(" ", "").replace("-", "")
        if _is_issued(digits) and _luhn(digits):
            yield Found(match.start(), match.end(), "card")


def _is_issued(digits: str) -> bool:
    issuer, length = int(digits[:6]), len(digits)
    return any(first <= issuer <= last and length in lengths for first, last, lengths in _ISSUERS)


def _luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(doubled)) % 10 == 0
