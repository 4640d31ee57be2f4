// Keeps a page up to date: the server says that something changed, the page is asked for anew, and what differs is
// changed in place, so that focus, scrolling and a half-done click stay. Without this script every page works as it is.
"use strict";

(() => {
  const { liveUrl, away, resolved } = document.body.dataset;
  if (!liveUrl) return;
  const state = document.getElementById("state");
  const news = document.getElementById("news");
  let asking = false;
  let again = false;

  function say(text) {
    if (state.textContent !== text) state.textContent = text;
  }

  // What the reader opened or scrolled stays as it is: it is not in the page that comes.
  const KEPT = new Set(["open"]);

  function become(old, now) {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName || (old.id ?? "") !== (now.id ?? "")) {
      old.replaceWith(document.importNode(now, true));
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const olds = [...old.childNodes];
    const nows = [...now.childNodes];
    for (let place = 0; place < Math.max(olds.length, nows.length); place += 1) {
      if (!nows[place]) olds[place].remove();
      else if (!olds[place]) old.append(document.importNode(nows[place], true));
      else become(olds[place], nows[place]);
    }
  }

  function incidents(root) {
    const found = new Map();
    for (const one of root.querySelectorAll("[data-incident]")) {
      found.set(one.dataset.incident, one.textContent.replace(/\s+/g, " ").trim());
    }
    return found;
  }

  async function refresh() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", redirect: "manual" });
      if (answer.type === "opaqueredirect") {
        location.reload();
      } else if (!answer.ok) {
        say(away);
      } else {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const before = incidents(document);
        const focused = document.activeElement?.id;
        for (const old of document.querySelectorAll("[data-live], #at")) {
          const now = fresh.getElementById(old.id);
          if (now) become(old, now);
        }
        if (focused && document.activeElement === document.body) {
          document.getElementById(focused)?.focus({ preventScroll: true });
        }
        const after = incidents(document);
        const said = [...after].filter(([id]) => !before.has(id)).map(([, text]) => text);
        if ([...before.keys()].some((id) => !after.has(id))) said.push(resolved);
        if (said.length) news.textContent = said.join(". ");
        say("");
      }
    } catch {
      say(away);
    } finally {
      asking = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  // A browser keeps few connections to one server: a page that nobody sees gives its own back.
  let events = null;
  function listen() {
    if (document.hidden) {
      events?.close();
      events = null;
    } else if (!events) {
      events = new EventSource(liveUrl);
      events.addEventListener("change", refresh);
      events.addEventListener("away", () => say(away));
      events.addEventListener("error", () => say(away));
    }
  }
  document.addEventListener("visibilitychange", listen);
  listen();
})();
