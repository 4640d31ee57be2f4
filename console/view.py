"""What every page needs to know of its reader: language, theme, tenant, login; and how pages are rendered."""

from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from console.language import Language, Speech, chosen
from schemas.corridor import CorridorMap

Theme = Literal["auto", "light", "dark"]
THEMES: tuple[Theme, ...] = ("auto", "light", "dark")
_FOLDER = Path(__file__).parent / "templates"


class View(NamedTuple):
    """One reader's request."""

    request: Request
    speech: Speech
    theme: Theme
    #: Tenants there are; empty where ClickHouse was not asked, or is away.
    tenants: tuple[str, ...] = ()
    tenant: str = ""
    #: End of the newest window of the tenant, epoch seconds; 0 where there is none.
    at: int = 0

    def link(self, *path: str, **query: str) -> str:
        """A path of this console with the tenant kept, where there is more than one."""
        if len(self.tenants) > 1:
            query = {"tenant": self.tenant, **query}
        return "/" + "/".join(quote(part, safe="") for part in path) + (f"?{urlencode(query)}" if query else "")


class Templates:
    """The pages of the console, for one corridor map."""

    def __init__(self, chart: CorridorMap, *, logs_out: bool) -> None:
        """`logs_out`: whether there is a login that can be ended here."""
        self._chart = chart
        self._logs_out = logs_out
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def view(self, request: Request) -> View:
        """Language and theme of a request."""
        theme = request.cookies.get("theme", "auto")
        language: Language = chosen(request.cookies.get("lang"), request.headers.get("accept-language", ""))
        return View(request, Speech(language, self._chart), theme if theme in THEMES else "auto")

    def page(
        self, name: str, view: View, status: int = 200, headers: dict[str, str] | None = None, /, **values: Any
    ) -> HTMLResponse:
        """A page; `live` among the values: it keeps itself up to date."""
        known = {"live": False, "logs_out": self._logs_out, "view": view, "speech": view.speech, "t": view.speech}
        text = self._environment.get_template(f"{name}.html").render(known | values)
        return HTMLResponse(text, status, headers)
