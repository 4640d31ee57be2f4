"""The site: its hook, its menu, and that the strict build fails where it should."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import docs_site

ROOT = Path(__file__).resolve().parents[2]
PROJECT_LINK = "The rules: [rules](../deploy/prometheus), [map](../schemas/maps/retail.yaml), [here](#there).\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small project of its own with our hook and our settings, and one page."""
    for folder in ("docs", "scripts", "deploy/prometheus", "schemas/maps"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "docs_site.py", tmp_path / "scripts")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(f"{settings}\nnav:\n  - index.md\n", encoding="utf-8")
    (tmp_path / "deploy" / "prometheus" / "rules.yaml").write_text("groups: []\n")
    (tmp_path / "deploy" / "prometheus" / "secret.key").write_text("a secret\n")
    (tmp_path / ".gitignore").write_text("*.key\n")
    (tmp_path / "schemas" / "maps" / "retail.yaml").write_text("corridor: retail\n")
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n{PROJECT_LINK}\n## There\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


def test_a_file_outside_docs_is_a_page_and_a_folder_a_list_of_what_git_may_see(site: Path) -> None:
    done = build(site)
    assert done.returncode == 0, done.stderr
    start = (site / "site" / "index.html").read_text()
    assert 'href="project/deploy/prometheus/"' in start
    assert 'href="project/schemas/maps/retail.yaml/"' in start
    assert "retail" in (site / "site" / "project" / "schemas" / "maps" / "retail.yaml" / "index.html").read_text()
    listed = (site / "site" / "project" / "deploy" / "prometheus" / "index.html").read_text()
    assert 'href="rules.yaml/"' in listed
    assert "secret" not in listed
    assert "a secret" not in "".join(file.read_text() for file in (site / "site").rglob("*.html"))


@pytest.mark.parametrize(
    ("page", "text", "complaint"),
    [
        ("index.md", "# Start\n\n[gone](../deploy/gone)\n", "../deploy/gone"),
        ("index.md", "# Start\n\n[gone](gone.md)\n", "gone.md"),
        ("index.md", "# Start\n\n[gone](#gone)\n", "#gone"),
        ("orphan.md", "# Nobody leads here\n", "orphan.md"),
    ],
)
def test_what_leads_nowhere_fails_the_build(site: Path, page: str, text: str, complaint: str) -> None:
    (site / "docs" / page).write_text(text)
    done = build(site)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_nothing_in_the_site_is_fetched_from_elsewhere(site: Path) -> None:
    assert build(site).returncode == 0
    text = (site / "site" / "index.html").read_text()
    assert "fonts.g" not in text
    assert 'src="http' not in text
    assert 'rel="stylesheet" href="http' not in text


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("docs/deploy.md", "deploy.md"),
        ("docs/publishing", "publishing/README.md"),
        ("CHANGELOG.md", "project/CHANGELOG.md"),
        ("schemas/maps/retail.yaml", "project/schemas/maps/retail.yaml.md"),
        ("deploy/compose", "project/deploy/compose/index.md"),
        ("deploy/gone", None),
        ("../elsewhere", None),
    ],
)
def test_each_path_has_its_page(path: str, uri: str | None) -> None:
    assert docs_site._uri(path) == uri
