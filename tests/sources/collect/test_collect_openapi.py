"""Requests made from the collector's own OpenAPI document, right and wrong: none is answered by an error of ours."""

from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.settings import load_settings
from tests.sources.collect.running import collecting

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]
#: For each operation.
EXAMPLES = 60


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    with EmbeddedKafka() as broker:
        own = load_settings(kafka=broker.bootstrap, data_dir=tmp_path_factory.mktemp("collect"))
        with collecting(own) as collector:
            yield schemathesis.openapi.from_url(f"{collector.url}/openapi.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE], ids=["right", "wrong"]
)
def test_no_request_of_the_document_is_answered_by_an_error_of_ours(
    document: schemathesis.BaseSchema, mode: schemathesis.GenerationMode
) -> None:
    tried = 0
    for found in document.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            assert mode.is_negative and operation.method == "get", "only what takes nothing cannot be asked wrongly"
    assert tried > EXAMPLES
