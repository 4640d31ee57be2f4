"""A hook of MkDocs: links of the documentation that lead to other files of the project work in the site too.

On a repository page `[compose](../deploy/compose)` shows that folder. The site is made of `docs/` alone, so each
file that a page links to becomes a page of the site below `project/`, and a folder a list of its files. They are in no
menu and are not searched. A link to what does not exist is left as it is, and the strict build fails because of it.
"""

import posixpath
import re
import subprocess
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: Folder of the site where such pages are.
PROJECT = "project/"
_DOCS = "docs/"
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<to>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
_UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for all that the documentation, or a page added for it, links to outside `docs/`."""
    waiting = [(_place(file), file.content_string) for file in files.documentation_pages()]
    while waiting:
        place, text = waiting.pop()
        for link in _LINK.finditer(text):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link["to"]))
            uri = _uri(target)
            if uri is None or not uri.startswith(PROJECT) or files.get_file_from_path(uri) is not None:
                continue
            shown = _shown(target)
            files.append(File.generated(config, uri, content=_UNSEARCHED + shown, inclusion=InclusionLevel.NOT_IN_NAV))
            waiting.append((target if (ROOT / target).is_file() else f"{target}/", shown))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where the site has what they mean."""
    own = page.file.src_uri
    place = _place(page.file)

    def turn(link: re.Match[str]) -> str:
        uri = _uri(posixpath.normpath(posixpath.join(posixpath.dirname(place), link["to"])))
        if uri is None:
            return link[0]
        return f"[{link['text']}]({posixpath.relpath(uri, posixpath.dirname(own) or '.')}{link['anchor'] or ''})"

    return _LINK.sub(turn, markdown)


def _place(file: File) -> str:
    """Where in the project the text of a page is; a folder ends with `/`."""
    if not file.src_uri.startswith(PROJECT):
        return _DOCS + file.src_uri
    path = file.src_uri.removeprefix(PROJECT)
    return path.removesuffix("index.md") if path.endswith("/index.md") else path


def _uri(path: str) -> str | None:
    """The page of the site for a path of the project; None where there is no such file."""
    there = ROOT / path
    if path.startswith("..") or not there.exists():
        return None
    if there.is_dir():
        readme = posixpath.join(path, "README.md")
        return _uri(readme) if (ROOT / readme).is_file() else f"{PROJECT}{path}/index.md"
    if path.startswith(_DOCS):
        return path.removeprefix(_DOCS)
    return f"{PROJECT}{path}" if path.endswith(".md") else f"{PROJECT}{path}.md"


def _shown(path: str) -> str:
    """A file's page: Markdown as it is, all else as code; of a folder, the list of its files."""
    there = ROOT / path
    if there.is_dir():
        found = sorted(_known(path))
        return f"# {path}\n\n" + "".join(f"- [{name}]({name})\n" for name in found)
    text = there.read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    return f"# {path}\n\n````{there.suffix.removeprefix('.')}\n{text}\n````\n"


def _known(folder: str) -> list[str]:
    """Files in a folder and below that belong to the project: what git ignores may be secret."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(listing, cwd=ROOT / folder, check=True, capture_output=True, text=True).stdout.splitlines()
