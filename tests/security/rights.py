"""The rights that docs/security.md lists, given to users."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams.runtime.topics_admin import with_controller

DOCS = Path(__file__).resolve().parents[2] / "docs" / "security.md"
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional id": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}


def give(bootstrap: str, principal: str, roles: Sequence[str], group: str = "corredor") -> None:
    """Give `principal` the rights of these roles, where CORREDOR_GROUP is `group`."""
    # Two roles may have the same right.
    bindings = list(dict.fromkeys(binding for role in roles for binding in _bindings(principal, role, group)))
    client = with_controller(AdminClient({"bootstrap.servers": bootstrap}))
    for future in client.create_acls(bindings).values():
        future.result()


def _bindings(principal: str, wanted: str, group: str) -> Iterator[AclBinding]:
    rows = [line.strip("|\n ").split(" | ") for line in DOCS.read_text().splitlines() if line.count(" | ") == 3]
    found = [row for row in rows if row[0].strip() == wanted]
    assert found, f"docs/security.md lists no rights of role {wanted}"
    for _, resource, name, operations in found:
        plain = name.strip("`")
        if resource != "topic":
            plain = plain.replace("corredor", group, 1)
        prefixed = ResourcePatternType.PREFIXED if plain.endswith("*") else ResourcePatternType.LITERAL
        for operation in operations.split(", "):
            yield AclBinding(
                _RESOURCES[resource],
                plain.removesuffix("*"),
                prefixed,
                principal,
                "*",
                _OPERATIONS[operation.strip()],
                AclPermissionType.ALLOW,
            )
