"""The catalogue's rows, made from what a session has at the moment that it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from trainyard.edges.sql.catalogue.objects import (
    BY_OID,
    DATABASE_OID,
    OF_KIND,
    TYPES,
    USER_OID,
    VISIBLE,
    Surroundings,
    Table,
    TableColumn,
    schema_oid,
)
from trainyard.edges.sql.catalogue.shapes import shapes

Row = tuple[object, ...]
_WITH_UNDERSCORE: Final = frozenset({"json", "jsonb", "timestamp", "timestamptz", "numeric", "uuid"})
_WAYS: Final = {"input": "in", "output": "out", "receive": "recv", "send": "send"}
SCHEMAS: Final = ("pg_catalog", "information_schema", *VISIBLE)


def rows_of(name: str, around: Surroundings) -> list[Row]:
    """The rows of one of the catalogue's tables; none of those that stay empty here."""
    make = _CONTENTS.get(name)
    return [shapes()[name].row(**values) for values in make(around)] if make else []


Values = Iterator[dict[str, object]]


def _namespaces(_: Surroundings) -> Values:
    for schema in SCHEMAS:
        yield {"oid": schema_oid(schema), "nspname": schema, "nspowner": USER_OID}


def own_tables() -> Iterator[Table]:
    """The catalogue's own tables, as tables: they tell of themselves too."""
    for shape in shapes().values():
        schema, _, name = shape.name.rpartition(".")
        columns = tuple(TableColumn(column, kind) for column, kind in shape.kinds())
        yield Table(schema or "pg_catalog", name, columns, view=bool(schema))


def every_table(around: Surroundings) -> Iterable[Table]:
    """All that can be selected from."""
    return (*around.tables(), *own_tables())


def _classes(around: Surroundings) -> Values:
    for table in every_table(around):
        yield {
            "oid": table.oid,
            "relname": table.name,
            "relnamespace": schema_oid(table.schema),
            "relowner": USER_OID,
            "relkind": "v" if table.view else "r",
            "relnatts": len(table.columns),
            "reltype": 0,
        }


def _attributes(around: Surroundings) -> Values:
    for table in every_table(around):
        for number, column in enumerate(table.columns, 1):
            type_oid = OF_KIND[column.kind]
            yield {
                "attrelid": table.oid,
                "attname": column.name,
                "atttypid": type_oid,
                "attlen": BY_OID[type_oid].length,
                "attnum": number,
            }


def _types(_: Surroundings) -> Values:
    for each in TYPES:
        own = {"oid": each.oid, "typname": each.name, "typlen": each.length, "typcategory": each.category}
        preferred = int(each.name in ("text", "bool", "float8"))
        joint = "_" if each.name in _WITH_UNDERSCORE else ""
        yield {**own, "typarray": each.array, "typispreferred": preferred, **_functions(f"{each.name}{joint}")}
        yield {
            "oid": each.array,
            "typname": f"_{each.name}",
            "typlen": -1,
            "typcategory": "A",
            "typelem": each.oid,
            "typsubscript": "array_subscript_handler",
            **_functions("array_"),
        }


def _functions(stem: str) -> dict[str, object]:
    """A type's functions, by whose names some clients (ADBC) know how to read it."""
    return {f"typ{way}": f"{stem}{name}" for way, name in _WAYS.items()}


def _databases(around: Surroundings) -> Values:
    yield {
        "oid": DATABASE_OID,
        "datname": around.database(),
        "datdba": USER_OID,
        "encoding": 6,
        "datlocprovider": "c",
        "datistemplate": 0,
        "datallowconn": 1,
        "datconnlimit": -1,
        "datcollate": "C",
        "datctype": "C.UTF-8",
        "dattablespace": 1663,
    }


def _roles(around: Surroundings) -> Values:
    yield {
        "oid": USER_OID,
        "rolname": around.user(),
        "rolsuper": 0,
        "rolinherit": 1,
        "rolcreaterole": 0,
        "rolcreatedb": 0,
        "rolcanlogin": 1,
        "rolreplication": 0,
        "rolbypassrls": 0,
        "rolconnlimit": -1,
    }


def _authids(around: Surroundings) -> Values:
    yield {"oid": USER_OID, "rolname": around.user(), "rolsuper": 0, "rolcanlogin": 1}


def _users(around: Surroundings) -> Values:
    yield {"usename": around.user(), "usesysid": USER_OID, "usecreatedb": 0, "usesuper": 0}


def _descriptions(around: Surroundings) -> Values:
    for table in around.tables():
        if table.doc:
            yield {"objoid": table.oid, "classoid": 1259, "objsubid": 0, "description": table.doc}
        for number, column in enumerate(table.columns, 1):
            if column.doc:
                yield {"objoid": table.oid, "classoid": 1259, "objsubid": number, "description": column.doc}


def _tables(around: Surroundings) -> Values:
    flags = dict.fromkeys(("hasindexes", "hasrules", "hastriggers", "rowsecurity"), 0)
    for table in around.tables():
        if not table.view:
            yield {"schemaname": table.schema, "tablename": table.name, "tableowner": around.user(), **flags}


def _views(around: Surroundings) -> Values:
    for table in around.tables():
        if table.view:
            names = {"schemaname": table.schema, "viewname": table.name, "viewowner": around.user()}
            yield {**names, "definition": table.definition}


def _schemata(around: Surroundings) -> Values:
    for schema in SCHEMAS:
        yield {"catalog_name": around.database(), "schema_name": schema, "schema_owner": around.user()}


def _information_tables(around: Surroundings) -> Values:
    for table in every_table(around):
        yield {
            "table_catalog": around.database(),
            "table_schema": table.schema,
            "table_name": table.name,
            "table_type": "VIEW" if table.view else "BASE TABLE",
            "is_insertable_into": "YES" if table.insertable else "NO",
        }


def _information_columns(around: Surroundings) -> Values:
    for table in every_table(around):
        for number, column in enumerate(table.columns, 1):
            each = BY_OID[OF_KIND[column.kind]]
            yield {
                "table_catalog": around.database(),
                "table_schema": table.schema,
                "table_name": table.name,
                "column_name": column.name,
                "ordinal_position": number,
                "data_type": each.shown,
                "numeric_precision": {20: 64, 701: 53}.get(each.oid),
                "numeric_precision_radix": 2 if each.oid in (20, 701) else None,
                "numeric_scale": 0 if each.oid == 20 else None,
                "udt_catalog": around.database(),
                "udt_name": each.name,
                "dtd_identifier": str(number),
            }


def _information_views(around: Surroundings) -> Values:
    for table in around.tables():
        if table.view:
            names = {"table_catalog": around.database(), "table_schema": table.schema, "table_name": table.name}
            yield {**names, "view_definition": table.definition}


def _privileges(around: Surroundings) -> Values:
    for table in around.tables():
        for privilege in ("SELECT", *(("INSERT", "DELETE") if table.insertable else ())):
            yield {
                "grantor": around.user(),
                "grantee": around.user(),
                "table_catalog": around.database(),
                "table_schema": table.schema,
                "table_name": table.name,
                "privilege_type": privilege,
                "is_grantable": "NO",
                "with_hierarchy": "NO",
            }


_CONTENTS: Final[Mapping[str, Callable[[Surroundings], Values]]] = {
    "pg_namespace": _namespaces,
    "pg_class": _classes,
    "pg_attribute": _attributes,
    "pg_type": _types,
    "pg_database": _databases,
    "pg_roles": _roles,
    "pg_authid": _authids,
    "pg_user": _users,
    "pg_am": lambda _: iter([{"oid": 2, "amname": "heap", "amhandler": "heap_tableam_handler", "amtype": "t"}]),
    "pg_description": _descriptions,
    "pg_tables": _tables,
    "pg_views": _views,
    "pg_tablespace": lambda _: iter([{"oid": 1663, "spcname": "pg_default", "spcowner": USER_OID}]),
    "pg_language": lambda _: iter(
        [{"oid": 14, "lanname": "sql", "lanowner": USER_OID, "lanispl": 0, "lanpltrusted": 1}]
    ),
    "information_schema.schemata": _schemata,
    "information_schema.tables": _information_tables,
    "information_schema.columns": _information_columns,
    "information_schema.views": _information_views,
    "information_schema.table_privileges": _privileges,
    "information_schema.role_table_grants": _privileges,
    "information_schema.enabled_roles": lambda around: iter([{"role_name": around.user()}]),
    "information_schema.information_schema_catalog_name": lambda around: iter([{"catalog_name": around.database()}]),
}
