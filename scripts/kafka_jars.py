"""Fetches the jars of Apache Kafka that the tests and `CORREDOR_KAFKA=local` use. Prints their folder.

With `--if-possible` a missing Java or Maven is a message, not a failure, unless CORREDOR_REQUIRE_KAFKA=1.
"""

import os
import sys

from schemas.errors import UsageError
from streams.runtime.local import fetch_jars, java


def main() -> int:
    """Returns the exit code."""
    try:
        java()
        sys.stdout.write(f"{fetch_jars()}\n")
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        if "--if-possible" in sys.argv[1:] and os.environ.get("CORREDOR_REQUIRE_KAFKA") != "1":
            sys.stderr.write("the tests on Apache Kafka will be skipped; those on the embedded one run\n")
            return 0
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
