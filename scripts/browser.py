"""Installs Debian's Chromium, in which the tests of the console run, where it is missing."""

import sys

from scripts import debian

PROGRAMS = {"chromium": "chromium"}

if __name__ == "__main__":
    sys.exit(debian.main("Chromium", PROGRAMS, "CORREDOR_REQUIRE_CHROMIUM"))
