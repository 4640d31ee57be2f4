"""The pages: each reads what it shows, through one shared reader, and renders it."""

import re
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import anyio.to_thread
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console import curves
from console.curves import Value
from console.drawing import SYMBOLS, draw, tone
from console.figures import Figures, read_figures
from console.queries import corridor, incidents, journey, pipeline, priorities, touchpoint
from console.queries.corridor import Snapshot
from console.queries.journey import Found
from console.queries.series import SPANS
from console.shared import FRESH_S, Shared
from console.store import Results
from console.view import Templates, View
from schemas.corridor import CorridorMap
from schemas.links import ALERTS, links
from streams.runtime.endpoints import find
from streams.runtime.federation import get
from streams.runtime.settings import Settings

#: What scans single events is read less often. Seconds.
HEAVY_FRESH_S = 10.0
MOST_FORM_BYTES = 4096
WINDOWS = tuple(SPANS)
_EMPTY = Found([], None, [])


class Pages:
    """The pages that show results."""

    def __init__(
        self, settings: Settings, chart: CorridorMap, results: Results, shared: Shared, templates: Templates
    ) -> None:
        self._settings, self._chart, self._results = settings, chart, results
        self._shared, self._templates = shared, templates
        self._snapshot = partial(corridor.snapshot, results, chart)
        self._markdown = MarkdownIt("commonmark", {"html": False})

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/", self.corridor),
            Route("/touchpoints/{name:path}", self.touchpoint),
            Route("/incidents", self.incidents),
            Route("/incidents/{id}", self.incident),
            Route("/priorities", self.priorities),
            Route("/journey", self.journey, methods=["GET", "POST"]),
            Route("/pipeline", self.pipeline),
            Route("/runbooks/{alert}", self.runbook),
        ]

    async def snapshot(self, tenant: str) -> Snapshot:
        """The corridor of a tenant, at most a second old."""
        return await self._shared.get(FRESH_S, self._snapshot, tenant)

    async def view(self, request: Request) -> View:
        """The request with its tenant: the one it names, else the one with the newest events."""
        known = await self._shared.get(FRESH_S, corridor.tenants, self._results)
        names = tuple(sorted(one.tenant for one in known))
        wanted = request.query_params.get("tenant") or (known[0].tenant if known else "default")
        if names and wanted not in names:
            raise HTTPException(404)
        at = next((one.at for one in known if one.tenant == wanted), 0)
        return self._templates.view(request)._replace(tenants=names, tenant=wanted, at=at)

    async def corridor(self, request: Request) -> Response:
        """The corridor as a graph, and as tables."""
        view = await self.view(request)
        shown = await self.snapshot(view.tenant)
        drawing = await anyio.to_thread.run_sync(draw, shown.corridor, self._chart, view.speech)
        return self._templates.page(
            "corridor", view, live=True, page="corridor", corridor=shown.corridor, drawing=drawing,
            tone=tone, symbols=SYMBOLS,
        )  # fmt: skip

    async def touchpoint(self, request: Request) -> Response:
        """One touchpoint."""
        view = await self.view(request)
        name, window = request.path_params["name"], request.query_params.get("window", "5m")
        known = {place.touchpoint for place in (await self.snapshot(view.tenant)).corridor.places}
        if window not in WINDOWS or name not in known:
            raise HTTPException(404)
        place = (self._results, view.tenant, name, window, view.at)
        found = await self._shared.get(FRESH_S, touchpoint.page, *place)
        # Every tenth second anew: a moment that moves with each window would be read again each time.
        steady = (*place[:-1], view.at - view.at % int(HEAVY_FRESH_S))
        moments = await self._shared.get(HEAVY_FRESH_S, touchpoint.moments, *steady)
        chart = curves.chart(
            [Value(one.at, one.score, one.score_low, one.score_high) for one in found.points],
            100.0,
            (0, 40, 70, 100),
            view.speech.tick,
            [(one.since, view.speech("kind." + one.kind)) for one in found.incidents if one.status == "open"],
        )
        return self._templates.page(
            "touchpoint", view, live=True, page="corridor", name=name, window=window, windows=WINDOWS, found=found,
            now=found.windows.get(window), chart=chart, moments=moments, tone=tone, symbols=SYMBOLS,
            spot=next((one for one in self._chart.touchpoints if one.name == name), None),
        )  # fmt: skip

    async def incidents(self, request: Request) -> Response:
        """All incidents, open ones first."""
        view = await self.view(request)
        found = await self._shared.get(FRESH_S, incidents.listed, self._results, view.tenant)
        return self._templates.page("incidents", view, live=True, page="incidents", incidents=found)

    async def incident(self, request: Request) -> Response:
        """One incident."""
        view = await self.view(request)
        found = await self._shared.get(FRESH_S, incidents.page, self._results, view.tenant, request.path_params["id"])
        if found is None:
            raise HTTPException(404)
        one, say = found.incident, view.speech
        marks = [(one.since, say("incident.since")), (one.detected_at, say("incident.detected"))]
        marks += [(one.ended_at, say("incident.ended"))] if one.ended_at else []
        chart = curves.chart(
            [Value(point.at, point.score, point.score_low, point.score_high) for point in found.points],
            100.0,
            (0, 40, 70, 100),
            say.tick,
            marks,
        )
        where = links(one, self._settings.runbooks)
        return self._templates.page(
            "incident", view, live=True, page="incidents", found=found, one=one, chart=chart, sql=where["sql"],
            runbook=self._runbook(ALERTS[one.kind], where["runbook"]),
        )  # fmt: skip

    async def priorities(self, request: Request) -> Response:
        """Where to act first."""
        view = await self.view(request)
        found = await self._shared.get(FRESH_S, priorities.priorities, self._results, view.tenant, view.at)
        return self._templates.page(
            "priorities", view, live=True, page="priorities", standings=found, tone=tone, symbols=SYMBOLS
        )

    async def journey(self, request: Request) -> Response:
        """The look-up of journeys. What is looked for comes in the body: it never stands in an address or a log."""
        view = await self.view(request)
        form = await read_form(request) if request.method == "POST" else {}
        who, chosen = form.get("who", "").strip(), form.get("journey", "")
        found = _EMPTY
        if who:
            found = await anyio.to_thread.run_sync(journey.find, self._results, view.tenant, who, chosen)
        chart = curves.chart([Value(one.at, one.x) for one in found.contacts], 1.0, (0, 0.4, 0.7, 1), view.speech.tick)
        return self._templates.page(
            "journey", view, page="journey", who=who, found=found, chart=chart, symbols=SYMBOLS, tone=tone,
            moves=_moves(found),
        )  # fmt: skip

    async def pipeline(self, request: Request) -> Response:
        """Whether the pipeline is well."""
        view = await self.view(request)
        return self._templates.page(
            "pipeline", view, live=True, page="pipeline",
            sources=await self._shared.get(HEAVY_FRESH_S, pipeline.sources, self._results, view.at),
            rejections=await self._shared.get(HEAVY_FRESH_S, pipeline.rejections, self._results),
            figures=await self._shared.get(2 * FRESH_S, self._figures),
        )  # fmt: skip

    async def runbook(self, request: Request) -> Response:
        """A runbook page from the folder of the settings."""
        view = await self.view(request)
        alert = request.path_params["alert"]
        file = Path(self._settings.runbooks) / f"{alert}.md"
        if alert not in ALERTS.values() or not file.is_file():
            raise HTTPException(404)
        text = Markup(self._markdown.render(file.read_text("utf-8")))
        return self._templates.page("runbook", view, page="incidents", alert=alert, text=text)

    def _runbook(self, alert: str, link: str) -> str:
        """Where the runbook is for a browser; empty where it is only a name in the settings."""
        if re.match("https?://", link):
            return link
        return f"/runbooks/{alert}" if Path(link).is_file() else ""

    def _figures(self) -> Figures | None:
        """What the processes of the run say; None where no run is near, or it does not answer."""
        run = find(self._settings)
        if run is None:
            return None
        status, text = get(f"{run.metrics}/metrics")
        return read_figures(text) if status == 200 else None


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; empty for a body that is none. Raises HTTPException for one that is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:
            raise HTTPException(413)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def _moves(found: Found) -> list[bool]:
    """For each contact whether it came in another channel than the one before."""
    channels = [one.channel for one in found.contacts]
    return [bool(number) and channel != channels[number - 1] for number, channel in enumerate(channels)]
