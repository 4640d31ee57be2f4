/* Corredor's browser beacon: page views, errors, web vitals and ratings as touchpoint events.
 *
 *   <script defer src="https://collector.example/beacon.js"
 *           data-key="ck_..." data-source="/shop/web" data-touchpoint="web.product"></script>
 *   corredor.rate({value: 4, min: 1, max: 5, instrument: "csat"});       a rating of this page
 *   corredor.send({touchpoint: "web.checkout", outcome: "failure"});     any other contact
 *   corredor.page("web.cart");                                          a new page of a single-page application
 *
 * The key is public: give it `origins` in the keys file. The customer is a random id of this browser, or `data-subject`.
 */
(function (window, document) {
  "use strict";
  var script = document.currentScript;
  var options = (script && script.dataset) || {};
  var collector = options.collector || (script && script.src ? new URL(script.src).origin : "");
  var address = collector + "/events";
  var MAX_QUEUE = 50;       // events kept for one request
  var MAX_ERRORS = 5;       // of one page: a loop of errors is one trouble, not thousands
  var WAIT_MS = 2000;       // events are gathered for this long
  var queue = [];
  var timer = null;
  var page = null;

  function random() {
    if (window.crypto.randomUUID) return window.crypto.randomUUID();
    var bytes = window.crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, function (b) { return b.toString(16).padStart(2, "0"); }).join("");
  }

  /* A random id that lasts as long as the storage; where storage is forbidden, as long as the page. */
  function remembered(storage, name) {
    try {
      var store = window[storage];
      var id = store.getItem(name) || random();
      store.setItem(name, id);
      return id;
    } catch (error) {
      return random();
    }
  }

  var subject = options.subject || remembered("localStorage", "corredor.subject");
  var journey = options.journey || remembered("sessionStorage", "corredor.journey");

  function device() {
    var width = window.innerWidth || 1024;
    return width < 600 ? "mobile" : width < 1000 ? "tablet" : "desktop";
  }

  /* Queue one contact; `data` are fields of the event's data. */
  function send(data, at) {
    var segment = Object.assign({device: device()}, data.segment);
    queue.push({
      specversion: "1.0",
      id: random(),
      source: options.source || "/web",
      type: "io.corredor.touchpoint.v1",
      time: new Date(at || Date.now()).toISOString(),
      subject: subject,
      tenant: options.tenant || "default",
      data: Object.assign({journey: journey, channel: "web"}, data, {segment: segment})
    });
    if (queue.length >= MAX_QUEUE) flush(false);
    else if (timer === null) timer = window.setTimeout(flush, WAIT_MS, false);
  }

  /* Send what is queued. A page that ends uses sendBeacon, which needs no preflight as text/plain. */
  function flush(ending) {
    window.clearTimeout(timer);
    timer = null;
    var body = JSON.stringify(queue.splice(0, MAX_QUEUE));
    if (body === "[]") return;
    var public_key = options.key ? "?key=" + encodeURIComponent(options.key) : "";
    if (ending && window.navigator.sendBeacon &&
        window.navigator.sendBeacon(address + public_key, new Blob([body], {type: "text/plain"}))) return;
    var headers = {"Content-Type": "application/cloudevents-batch+json"};
    if (options.key) headers["X-Corredor-Key"] = options.key;
    window.fetch(address, {method: "POST", body: body, headers: headers, keepalive: true, credentials: "omit"})
      .catch(function () { /* The visitor's connection is gone: measuring must not disturb the page. */ });
  }

  /* Begin a page: its view is sent when it ends, with what the visitor waited for it. */
  function begin(touchpoint) {
    end();
    page = {touchpoint: touchpoint, at: Date.now(), errors: 0, wait: null, shift: 0, delay: 0, sent: false};
  }

  function end() {
    if (page === null || page.sent) return;
    page.sent = true;
    var view = {touchpoint: page.touchpoint, outcome: page.errors ? "partial" : "success", initiator: "customer"};
    view.active_ms = Math.max(0, Date.now() - page.at);
    if (page.wait !== null) view.wait_ms = Math.round(page.wait);
    // Shares of the "poor" limits of web vitals (web.dev/vitals): CLS 0.25, INP 500 ms.
    view.aspects = {stability: 1 - Math.min(1, page.shift / 0.25), responsiveness: 1 - Math.min(1, page.delay / 500)};
    send(view, page.at);
  }

  function broken(kind) {
    if (++page.errors > MAX_ERRORS) return;
    send({touchpoint: page.touchpoint, outcome: "failure", segment: {error: kind}});
  }

  function observe(type, each) {
    try {
      new window.PerformanceObserver(function (list) {
        list.getEntries().forEach(each);
      }).observe({type: type, buffered: true, durationThreshold: 40});
    } catch (error) { /* This browser does not measure it. */ }
  }

  begin(options.touchpoint || "web.page");
  observe("largest-contentful-paint", function (entry) { page.wait = entry.startTime; });
  observe("layout-shift", function (entry) { if (!entry.hadRecentInput) page.shift += entry.value; });
  observe("event", function (entry) { if (entry.interactionId) page.delay = Math.max(page.delay, entry.duration); });

  window.addEventListener("error", function (event) {
    broken(event.target && event.target !== window ? "resource" : "script");
  }, true);
  window.addEventListener("unhandledrejection", function () { broken("promise"); });
  document.addEventListener("visibilitychange", function () {
    if (document.visibilityState !== "hidden") return;
    end();
    flush(true);
  });
  window.addEventListener("pagehide", function () { end(); flush(true); });
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) begin(options.touchpoint || "web.page");
  });

  window.corredor = {
    send: send,
    page: begin,
    flush: flush,
    rate: function (rating) {
      send({touchpoint: page.touchpoint, outcome: "success", initiator: "customer", rating: rating});
    }
  };
})(window, document);
