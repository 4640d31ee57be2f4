"""Who may read what: the role `bi_reader`, and row policies that show each of its users the tenants they are granted.

    GRANT bi_reader, bi_tenant_shop TO ana            -- ana reads the rows of the tenant `shop`
    GRANT bi_reader, bi_all_tenants TO director       -- the director reads all of them

A tenant is a role, so nobody can choose another one for themselves: settings and query parameters can be sent with a
query, roles cannot. Where a table has policies, a user without one may see nothing; so everybody who is not a
`bi_reader` gets a policy that hides nothing.
"""

from schemas.errors import StopProcess
from schemas.sql import literal
from sinks.clickhouse import DATABASE, FINAL_READS_LESS, ClickHouse

ROLE = "bi_reader"
ALL_TENANTS = "bi_all_tenants"
#: A role of this name and the tenant's shows that tenant's rows.
TENANT_PREFIX = "bi_tenant_"
#: Codes of an engine or a user without access control: ACCESS_DENIED, ACCESS_STORAGE_READONLY, no writeable storage.
_WITHOUT = frozenset({497, 495, 514})
_SEES_ALL = f"has(enabledRoles(), {literal(ALL_TENANTS)})"
_SEES_TENANT = f"{_SEES_ALL} OR has(enabledRoles(), concat({literal(TENANT_PREFIX)}, tenant))"
#: Tables that hold rows of tenants without naming the tenant in a column.
_MIXED = ("rejected_events",)


def condition(table: str, with_tenant: bool) -> str | None:
    """Which rows of a table a `bi_reader` sees, as SQL; None: all."""
    if with_tenant:
        return _SEES_TENANT
    return _SEES_ALL if table in _MIXED else None


def statements(tables: dict[str, bool]) -> list[str]:
    """All that has to be said; `tables` tells of each whether it has a column `tenant`. Each can be said again."""
    said = [
        f"CREATE ROLE IF NOT EXISTS {ROLE}, {ALL_TENANTS}",
        f"GRANT SELECT, dictGet ON {DATABASE}.* TO {ROLE}",
        f"CREATE SETTINGS PROFILE IF NOT EXISTS {ROLE} SETTINGS {FINAL_READS_LESS} TO {ROLE}",
    ]
    for table, with_tenant in sorted(tables.items()):
        where = condition(table, with_tenant)
        if where is None:
            continue
        place = f"ON {DATABASE}.{table} FOR SELECT"
        said.append(f"CREATE ROW POLICY OR REPLACE {ROLE} {place} USING {where} TO {ROLE}")
        said.append(f"CREATE ROW POLICY OR REPLACE not_{ROLE} {place} USING 1 TO ALL EXCEPT {ROLE}")
    return said


def open_to_readers(store: ClickHouse) -> str | None:
    """Make the role and the policies; why that cannot be, or None once they are there.

    chDB has no access control, and the user of a sink need not be an administrator. Raises as `ClickHouse` does.
    """
    tables = {
        table: bool(with_tenant)
        for table, with_tenant in store.rows(
            f"SELECT t.name, countIf(c.name = 'tenant') FROM system.tables AS t INNER JOIN system.columns AS c "
            f"ON c.database = t.database AND c.table = t.name "
            f"WHERE t.database = '{DATABASE}' AND t.engine LIKE '%MergeTree' GROUP BY t.name"
        )
    }
    try:
        for statement in statements(tables):
            store.command(statement)
    except StopProcess as error:
        if getattr(error.__cause__, "code", None) not in _WITHOUT:
            raise
        return f"no role {ROLE}: this ClickHouse, or its user here, has no access control to give (docs/bi.md)"
    return None
