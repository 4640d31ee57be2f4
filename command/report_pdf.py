"""A page as PDF: a Chromium that is installed prints it, headless."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from schemas.errors import StopProcess, UsageError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
#: It may take so long on a slow machine. Seconds.
PATIENCE_S = 180


def browser() -> str:
    """Where a browser is that can print. Raises UsageError if there is none."""
    for name in PROGRAMS:
        if (found := shutil.which(name)) is not None:
            return found
    raise UsageError(
        "a PDF is printed by Chromium, and there is none: install it (Debian: `apt install chromium`), or give "
        "--out FILE.html and print that from any browser"
    )


def print_pdf(program: str, html: str, file: Path) -> None:
    """Print a page that needs nothing from elsewhere. Raises StopProcess if the browser fails, OSError for the file."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page, made = Path(folder, "report.html"), Path(folder, "report.pdf")
        page.write_text(html, encoding="utf-8")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-pdf-header-footer",
            # It resolves no name of the network.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={made}",
            page.as_uri(),
        ]
        if os.geteuid() == 0:
            # Chromium's sandbox refuses to run as root; the page is ours and has no script.
            command.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise StopProcess(f"{program} did not print within {PATIENCE_S} s; give --out FILE.html") from None
        if done.returncode != 0 or not made.is_file() or not made.read_bytes().startswith(b"%PDF-"):
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StopProcess(f"{program} could not print (code {done.returncode}): {last}; give --out FILE.html")
        shutil.copyfile(made, file)
