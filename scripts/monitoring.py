"""Installs Debian's Prometheus and Alertmanager, which the tests of alerts start, where they are missing."""

import sys

from scripts import debian

PROGRAMS = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}

if __name__ == "__main__":
    sys.exit(debian.main("Prometheus with Alertmanager", PROGRAMS, "CORREDOR_REQUIRE_PROMETHEUS"))
