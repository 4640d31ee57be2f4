import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import UsageError
from streams.runtime import http
from streams.runtime.federation import Federation, get


def test_health_ready_and_metrics_answer() -> None:
    reason: list[str | None] = ["state is being read back"]
    server = http.serve("127.0.0.1", 0, lambda: reason[0])
    base = f"http://127.0.0.1:{server.port}"
    assert get(f"{base}/health") == (200, "ok\n")
    assert get(f"{base}/ready") == (503, "state is being read back\n")
    reason[0] = None
    assert get(f"{base}/ready") == (200, "ready\n")
    status, text = get(f"{base}/metrics")
    assert status == 200
    assert "python_info" in text
    assert get(f"{base}/other")[0] == 404
    server.close()
    assert get(f"{base}/health")[0] == 0


def test_a_taken_port_is_a_usage_error() -> None:
    server = http.serve("127.0.0.1", 0, lambda: None)
    with pytest.raises(UsageError, match="CORREDOR_METRICS_PORT"):
        http.serve("127.0.0.1", server.port, lambda: None)
    server.close()


def test_a_federation_names_the_process_of_every_sample_and_keeps_types() -> None:
    texts = (
        b'# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total{state="a"} 3\n# TYPE lag gauge\nlag 7\n',
        b'# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total{state="a"} 4\n'
        b'# TYPE wait histogram\nwait_bucket{le="1.0"} 1\nwait_bucket{le="+Inf"} 2\nwait_count 2\nwait_sum 5\n',
    )
    servers = [http.serve("127.0.0.1", 0, lambda: None, lambda text=text: text) for text in texts]
    targets = {f"p{n}": (f"http://127.0.0.1:{server.port}", n) for n, server in enumerate(servers)}
    targets["gone"] = ("http://127.0.0.1:1", 2)
    families = {each.name: each for each in text_string_to_metric_families(Federation(lambda: targets).text().decode())}
    for server in servers:
        server.close()
    seen = {(sample.labels["process"], sample.labels["state"]): sample.value for sample in families["seen"].samples}
    assert seen == {("p0", "a"): 3, ("p1", "a"): 4}
    assert (families["seen"].type, families["lag"].type, families["wait"].type) == ("counter", "gauge", "histogram")
    assert {each.labels["le"] for each in families["wait"].samples if "le" in each.labels} == {"1.0", "+Inf"}
    up = {each.labels["process"]: each.value for each in families["corredor_process_up"].samples}
    assert up == {"p0": 1, "p1": 1, "gone": 0}
    assert {each.value for each in families["corredor_process_restarts"].samples} == {0, 1, 2}


def test_documents_are_shown_and_a_federation_joins_their_lists() -> None:
    lists = (b'[{"id":"a"}]', b"[]")
    servers = [
        http.serve("127.0.0.1", 0, lambda: None, documents={"/incidents": lambda body=body: body}) for body in lists
    ]
    without = http.serve("127.0.0.1", 0, lambda: None)
    targets = {f"p{n}": (f"http://127.0.0.1:{server.port}", 0) for n, server in enumerate((*servers, without))}
    targets["gone"] = ("http://127.0.0.1:1", 0)
    assert get(f"{targets['p0'][0]}/incidents") == (200, '[{"id":"a"}]')
    assert get(f"{targets['p2'][0]}/incidents")[0] == 404
    assert Federation(lambda: targets).joined("/incidents") == b'[{"id":"a"}]'
    for server in (*servers, without):
        server.close()
