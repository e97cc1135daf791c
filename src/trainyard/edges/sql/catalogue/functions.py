"""The functions that PostgreSQL's clients call while they look around; each answers with what is true here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from trainyard import __version__
from trainyard.edges.sql.arrays import array_items, array_text
from trainyard.edges.sql.catalogue.contents import SCHEMAS, every_table
from trainyard.edges.sql.catalogue.objects import BY_OID, TYPES, USER_OID, VISIBLE, Surroundings, schema_oid
from trainyard.edges.sql.errors import SqlError

Value = str | int | float | bytes | None
Function = Callable[..., Value]

VERSION: Final = f"PostgreSQL 15.0 (Trainyard {__version__}, on SQLite's engine)"
_LONGEST_SERIES: Final = 100_000
UNDEFINED_OBJECT: Final = "42704"
_ARRAY_BY_OID: Final = {each.array: each for each in TYPES}
_TYPE_NAMES: Final[Mapping[str, int]] = {
    **{each.shown: each.oid for each in TYPES},
    **{each.name: each.oid for each in TYPES},
    "int": 23,
    "float": 701,
    "decimal": 1700,
}


class Functions:
    """All of them, over one session's surroundings."""

    def __init__(self, around: Surroundings) -> None:
        """Answer for this session."""
        self._around = around

    def table(self) -> Mapping[str, Function]:
        """By name. Any number of values is taken: PostgreSQL has several forms of many."""
        return {
            **_CONSTANT,
            **_PURE,
            "current_database": self._around.database,
            "current_user": self._around.user,
            "pg_get_userbyid": self._user_by_id,
            "current_setting": self._setting,
            "obj_description": self._description,
            "col_description": self._column_description,
            "pg_oid_of": self._oid_of,
            "pg_name_of": self._name_of,
            "to_regclass": lambda name: self._find("regclass", name),
            "to_regtype": lambda name: self._find("regtype", name),
            "to_regnamespace": lambda name: self._find("regnamespace", name),
            "pg_get_viewdef": self._view,
            "has_table_privilege": self._may,
        }

    def _user_by_id(self, oid: Value) -> Value:
        return self._around.user() if oid == USER_OID else f"unknown (OID={oid!r})"

    def _setting(self, name: Value, missing: Value = 0) -> Value:
        found = self._around.setting(str(name))
        if found is None and not missing:
            raise SqlError(UNDEFINED_OBJECT, f'unrecognized configuration parameter "{name!s}"')
        return found

    def _description(self, oid: Value, _catalogue: Value = None) -> Value:
        return next((table.doc or None for table in self._around.tables() if table.oid == oid), None)

    def _column_description(self, oid: Value, number: Value) -> Value:
        table = next((table for table in self._around.tables() if table.oid == oid), None)
        if table is None or not isinstance(number, int) or not 0 < number <= len(table.columns):
            return None
        return table.columns[number - 1].doc or None

    def _view(self, oid: Value, *_: Value) -> Value:
        return next((table.definition for table in self._around.tables() if table.oid == oid and table.view), None)

    def _may(self, *values: Value) -> Value:
        """SELECT for all; what is written to a table that takes no rows, for nobody."""
        table, privilege = values[-2:]
        words = {word.strip().upper() for word in str(privilege).split(",")}
        oid = table if isinstance(table, int) else self._find("regclass", table)
        insertable = any(each.insertable for each in self._around.tables() if each.oid == oid)
        return int(bool(words & ({"SELECT", "INSERT", "DELETE"} if insertable else {"SELECT"})))

    def _oid_of(self, kind: Value, name: Value) -> Value:
        """`'name'::regclass`; raises SqlError where there is no such thing, as the cast does."""
        if name is None or isinstance(name, int) or str(name).isdecimal():
            return name if name is None else int(name)
        found = self._find(kind, name)
        if found is None:
            what = {"regclass": "relation", "regtype": "type", "regnamespace": "schema"}.get(str(kind), "object")
            raise SqlError("42P01" if kind == "regclass" else UNDEFINED_OBJECT, f'{what} "{name!s}" does not exist')
        return found

    def _find(self, kind: Value, name: Value) -> Value:
        if name is None:
            return None
        parts = [part.strip('"') for part in str(name).split(".")]
        match kind:
            case "regclass":
                return self._table_named(parts)
            case "regtype":
                return _type_named(str(name))
            case "regnamespace":
                return schema_oid(parts[-1]) if parts[-1] in SCHEMAS else None
        return USER_OID if kind == "regrole" and parts[-1] == self._around.user() else None

    def _table_named(self, parts: list[str]) -> int | None:
        schemas = (parts[-2],) if len(parts) > 1 else ("pg_catalog", *VISIBLE)
        tables = every_table(self._around)
        return next((each.oid for each in tables if each.name == parts[-1] and each.schema in schemas), None)

    def _name_of(self, kind: Value, oid: Value) -> Value:
        """`oid::regclass` as it is shown."""
        if kind == "regclass":
            table = next((each for each in every_table(self._around) if each.oid == oid), None)
            if table is None:
                return None if oid is None else str(oid)
            return table.name if table.schema in (*VISIBLE, "pg_catalog") else f"{table.schema}.{table.name}"
        if kind == "regtype":
            return format_type(oid)
        if kind == "regnamespace":
            return next((schema for schema in SCHEMAS if schema_oid(schema) == oid), None)
        return "-" if oid in (0, None) else str(oid)


def _type_named(name: str) -> int | None:
    shown = name.removeprefix("pg_catalog.").strip('"').lower()
    if not shown.endswith("[]"):
        return _TYPE_NAMES.get(shown)
    element = _TYPE_NAMES.get(shown[:-2])
    return BY_OID[element].array if element else None


def format_type(oid: Value, _modifier: Value = None) -> Value:
    """A type's name as people write it."""
    if oid is None:
        return None
    if oid in _ARRAY_BY_OID:
        return f"{_ARRAY_BY_OID[int(oid)].shown}[]"
    return BY_OID[int(oid)].shown if oid in BY_OID else "???"


def array_json(value: Value) -> str:
    """An array as JSON, from PostgreSQL's text or from JSON itself. Raises SqlError on what is neither."""
    text = str(value).strip() if value is not None else "[]"
    if text.startswith("["):
        return text
    try:
        return json.dumps(array_items(text), ensure_ascii=False)
    except ValueError as error:
        raise SqlError("22P02", f"malformed array literal: {error}") from None


def _array_to_string(array: Value, separator: Value, null: Value = None) -> Value:
    if array is None:
        return None
    items = [null if item is None else item for item in json.loads(array_json(array))]
    return str(separator).join(str(item) for item in items if item is not None)


def _array_length(array: Value, _dimension: Value = 1) -> Value:
    return len(json.loads(array_json(array))) or None if array is not None else None


def _numbers(array: Value) -> Value:
    """An array whose elements are numbers, though they came as text."""
    if array is None:
        return None
    items = json.loads(array_json(array))
    try:
        return json.dumps([json.loads(item) if isinstance(item, str) else item for item in items])
    except ValueError:
        raise SqlError("22P02", f"invalid input for an array of numbers: {array!r}") from None


def _element(array: Value, which: Value) -> Value:
    items = json.loads(array_json(array)) if array is not None else []
    found: Value = items[which - 1] if isinstance(which, int) and 0 < which <= len(items) else None
    return found


def _series(first: Value, last: Value, step: Value = 1) -> Value:
    """The whole numbers from `first` to `last`, as JSON. Raises SqlError on no step, and on a great many of them."""
    if first is None or last is None:
        return None
    if not all(isinstance(each, int) for each in (first, last, step)) or step == 0:
        raise SqlError("22023", "generate_series takes whole numbers, and a step that is not 0")
    numbers = range(int(first), int(last) + (1 if int(step or 0) > 0 else -1), int(step or 1))
    if len(numbers) > _LONGEST_SERIES:
        raise SqlError("54000", f"generate_series gives at most {_LONGEST_SERIES} rows here")
    return json.dumps(list(numbers))


def _boolean(value: Value) -> Value:
    if value is None or isinstance(value, int | float):
        return value if value is None else int(bool(value))
    return int(str(value).strip().lower() in ("t", "true", "yes", "on", "1", "y"))


def _json_object(*values: Value) -> Value:
    return json.dumps(dict(zip(map(str, values[::2]), values[1::2], strict=False)), ensure_ascii=False)


def _quote_ident(name: Value) -> Value:
    text = str(name)
    plain = text.isascii() and text.islower() and text.replace("_", "a").isalnum() and not text[:1].isdigit()
    return text if plain else '"' + text.replace('"', '""') + '"'


class ArrayAggregate:
    """array_agg: the values in the order that they come in, as PostgreSQL's text."""

    def __init__(self) -> None:
        """No value yet."""
        self._items: list[Value] = []

    def step(self, value: Value) -> None:
        """One more."""
        self._items.append(value)

    def finalize(self) -> str:
        """The array."""
        return array_text(*self._items)


def _always(value: Value) -> Function:
    return lambda *_: value


_CONSTANT: Final[Mapping[str, Function]] = {
    "version": _always(VERSION),
    "current_schema": _always(VISIBLE[0]),
    "current_schemas": lambda implicit: array_text(*(("pg_catalog", *VISIBLE) if implicit else VISIBLE)),
    "pg_backend_pid": _always(0),
    "pg_encoding_to_char": _always("UTF8"),
    "pg_client_encoding": _always("UTF8"),
    "pg_is_in_recovery": _always(0),
    "pg_my_temp_schema": _always(0),
    "pg_postmaster_start_time": _always(None),
    **dict.fromkeys(
        (
            "pg_table_is_visible",
            "pg_type_is_visible",
            "pg_function_is_visible",
            "pg_opclass_is_visible",
            "pg_collation_is_visible",
        ),
        _always(1),
    ),
    **dict.fromkeys(("has_schema_privilege", "has_database_privilege", "has_column_privilege"), _always(1)),
    **dict.fromkeys(("has_any_column_privilege", "has_function_privilege", "pg_has_role"), _always(1)),
    **dict.fromkeys(("has_sequence_privilege", "has_tablespace_privilege", "pg_is_other_temp_schema"), _always(0)),
    **dict.fromkeys(("pg_relation_size", "pg_total_relation_size", "pg_table_size", "pg_indexes_size"), _always(0)),
    **dict.fromkeys(("pg_database_size", "pg_relation_is_publishable", "pg_tablespace_size"), _always(0)),
    **dict.fromkeys(("pg_get_expr", "pg_get_constraintdef", "pg_get_indexdef", "pg_get_triggerdef"), _always(None)),
    **dict.fromkeys(
        ("pg_get_ruledef", "pg_get_partkeydef", "pg_get_serial_sequence", "pg_get_functiondef"), _always(None)
    ),
    **dict.fromkeys(("pg_get_function_result", "pg_get_function_arguments", "shobj_description"), _always(None)),
    **dict.fromkeys(("pg_get_function_identity_arguments", "pg_get_statisticsobjdef_columns"), _always(None)),
    **dict.fromkeys(("pg_tablespace_location", "inet_server_addr", "inet_server_port", "txid_current"), _always(None)),
    **dict.fromkeys(("unnest", "generate_subscripts", "_pg_expandarray"), _always(None)),
}
_PURE: Final[Mapping[str, Function]] = {
    "format_type": format_type,
    "pg_array": array_text,
    "pg_array_json": array_json,
    "array_to_string": _array_to_string,
    "array_length": _array_length,
    "array_upper": _array_length,
    "cardinality": _array_length,
    "pg_bool": _boolean,
    "pg_element": _element,
    "pg_series": _series,
    "pg_numbers": _numbers,
    **dict.fromkeys(("json_build_object", "jsonb_build_object"), _json_object),
    "quote_ident": _quote_ident,
    "quote_literal": lambda text: None if text is None else "'" + str(text).replace("'", "''") + "'",
    "pg_size_pretty": lambda size: f"{size} bytes",
    "strpos": lambda text, part: None if text is None or part is None else str(text).find(str(part)) + 1,
    "left": lambda text, count: None if text is None else str(text)[:count],
    "starts_with": lambda text, start: None if text is None else int(str(text).startswith(str(start))),
}


NAMES: Final = tuple(sorted(Functions(Surroundings(tuple, str, str, lambda _: None)).table(), key=len, reverse=True))
"""What they are called."""


def register(connection: Any, around: Surroundings) -> None:
    """Give an apsw connection all of them."""
    for name, function in Functions(around).table().items():
        connection.create_scalar_function(name, function)
    connection.create_aggregate_function("array_agg", _array_aggregate)


def _array_aggregate() -> tuple[ArrayAggregate, Any, Any]:
    return ArrayAggregate(), ArrayAggregate.step, ArrayAggregate.finalize
