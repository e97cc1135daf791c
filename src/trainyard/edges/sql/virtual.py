"""SQLite's view of a table of the API: which constraints are taken from it, and how its cursor walks.

What SQLite asks for here, row by row, is answered from parts that were read at once; so the methods are short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, product
from operator import itemgetter
from typing import Any, Final, NamedTuple

import apsw

from trainyard.edges.sql.plans import DEFAULT, ROWS, Plan, declaration, hidden_columns, method_for, missing, plan_from
from trainyard.edges.sql.resources import Method, Resource
from trainyard.edges.sql.sources import CallSource, Row, Source, Target
from trainyard.edges.sql.work import Scan, Work
from trainyard.service.cells import IDENTITY

_EQ: Final = apsw.SQLITE_INDEX_CONSTRAINT_EQ
_RANGES: Final = {
    apsw.SQLITE_INDEX_CONSTRAINT_GT: ">",
    apsw.SQLITE_INDEX_CONSTRAINT_GE: ">",
    apsw.SQLITE_INDEX_CONSTRAINT_LT: "<",
    apsw.SQLITE_INDEX_CONSTRAINT_LE: "<",
}
_COMPARED: Final = ("=", "<", ">")
"""Before the name of a column in a plan's arguments; names of parameters have none of these."""
_DIRECT_READS: Final = 2
"""So often a table is read for itself in a join; from then on its rows are kept by the joined column's value."""
_MOST_WAYS: Final = 64
_COSTS: Final = {
    "get": (10.0, 1),
    "joined": (200.0, 10),
    "settled": (20_000.0, 5_000),
    "list": (100_000.0, 100_000),
    "refused": (1e30, 1_000_000_000),
}
_TRUTHS: Final = {"true": 1, "false": 0, "t": 1, "f": 0, "1": 1, "0": 0, 1: 1, 0: 0}


class _Way(NamedTuple):
    """A plan made ready: what is read of each row, and where among that (-1: nowhere) each column of the table is."""

    plan: Plan
    method: Method
    columns: tuple[str, ...]
    slots: tuple[int, ...]


class Module:
    """Makes the table of one resource; `methods` are those that may answer a SELECT from it."""

    def __init__(
        self,
        resource: Resource,
        methods: Sequence[Method],
        source: Source,
        work: Callable[[], Work],
        verb: str = "select",
    ) -> None:
        """`work` gives the statement that is at work."""
        self.resource = resource
        self.methods = methods
        self.source = source
        self.by_call = CallSource(resource)
        self.work = work
        self.verb = verb
        self.names = (*(column.name for column in resource.columns), *hidden_columns(resource))
        self.truths = frozenset(column.name for column in resource.columns if column.type == "boolean")
        self.way = lru_cache(maxsize=_MOST_WAYS)(self._way)

    def Connect(self, *_: Any) -> tuple[str, Table]:  # noqa: N802 - apsw's name
        """The table is there without being made."""
        return declaration(self.resource), Table(self)

    Create = Connect

    def _way(self, text: str) -> _Way:
        """How to carry out a plan; raises SqlError where it is refused."""
        plan = plan_from(text)
        if not plan.method:
            raise missing(self.resource, self.methods, frozenset(plan.arguments), self.verb)
        own, shown = self.resource.path[-1], [column.name for column in self.resource.columns]
        compared = [name.removeprefix("=") for name in plan.arguments if name.startswith("=")]
        columns = [name for name in dict.fromkeys((*plan.used, *compared)) if name in shown]
        if own in plan.used and plan.method != "get":
            columns.append("id")
        columns = columns or ["state" if "state" in shown else "name"]
        places = {name: index for index, name in enumerate(columns)}
        slots = [places.get(name, -1) for name in self.names]
        if "id" in places:
            slots[self.names.index(own)] = places["id"]
        if ROWS in plan.used:
            slots[self.names.index(ROWS)] = len(columns)
        else:
            columns.append(IDENTITY)
        method = next(method for method in self.methods if method.name == plan.method)
        return _Way(plan, method, tuple(columns), tuple(slots))

    def parameters(self) -> frozenset[str]:
        """The names that are no columns of an answer but what a method takes."""
        return frozenset((*self.resource.path, *self.resource.optional))


class Table:
    """Plans reads."""

    def __init__(self, module: Module) -> None:
        """Plan for this table."""
        self._module = module

    def Disconnect(self) -> None:  # noqa: N802 - apsw's name
        """Nothing is held."""

    Destroy = Disconnect

    def Open(self) -> Cursor:  # noqa: N802 - apsw's name
        """One more cursor."""
        return Cursor(self._module)

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:  # noqa: N802 - apsw's name
        """Choose the method. Where none has what it requires, reading is refused, and costs more than any other way.

        Only a statement that really reads is then refused: SQLite plans `WHERE … AND 0` without its conditions.
        """
        module = self._module
        taken = _Taken(module, info)
        method = method_for(module.methods, taken.parameters)
        if method is None:
            info.idxStr = Plan(module.resource.full_name, "", tuple(sorted(taken.parameters)), ()).text()
            info.estimatedCost, info.estimatedRows = _COSTS["refused"]
            return True
        arguments = taken.hand_over(method)
        used = tuple(module.names[index] for index in sorted(info.colUsed) if index < len(module.names))
        plan = Plan(module.resource.full_name, method.name, arguments, used, taken.keeps)
        info.idxStr = plan.text()
        info.estimatedCost, info.estimatedRows = _COSTS[taken.cost_of(method)]
        return True


class _Taken:
    """The constraints of one planning that are of use, by what they constrain."""

    def __init__(self, module: Module, info: apsw.IndexInfo) -> None:
        self._module, self._info = module, info
        self._of: dict[str, int] = {}
        self._joined = False
        self.keeps = True
        parameters = module.parameters()
        for which in range(info.nConstraint):
            op = info.get_aConstraint_op(which)
            if not info.get_aConstraint_usable(which) or (op != _EQ and op not in _RANGES):
                continue
            column = info.get_aConstraint_iColumn(which)
            name = module.names[column] if 0 <= column < len(module.names) else ROWS
            if op != _EQ:
                if name == module.source.ranges and info.get_aConstraint_collation(which) == "BINARY":
                    self._of.setdefault(f"{_RANGES[op]}{name}", which)
            elif name in parameters or name.startswith(DEFAULT):
                self._of[name] = which
            elif name != ROWS and info.get_aConstraint_collation(which) == "BINARY":
                self._of.setdefault(f"={name}", which)
        given = (name.removeprefix(DEFAULT) for name in self._of if not name.startswith(_COMPARED))
        self.parameters = frozenset((*given, *module.work().defaults))

    def hand_over(self, method: Method) -> tuple[str, ...]:
        """Ask for the values that are wanted, and tell SQLite which it need not compare again; their names in order."""
        known, info, module = (*method.required, *method.optional), self._info, self._module
        arguments: list[str] = []
        for name, which in self._of.items():
            column = name.removeprefix("=")
            if name.startswith("="):
                known_now = info.get_aConstraint_rhs(which) is not None or info.get_aConstraintUsage_in(which)
                self._joined |= not known_now
                if known_now and not module.source.settles(column) and column not in module.truths:
                    continue
                omit = column in module.truths or module.source.settles(column)
            elif name.startswith(_COMPARED):
                omit = False
            else:
                omit = name.removeprefix(DEFAULT) in known
                if not omit:
                    continue
            arguments.append(name)
            info.set_aConstraintUsage_argvIndex(which, len(arguments))
            info.set_aConstraintUsage_omit(which, omit)
            if info.get_aConstraintUsage_in(which):
                self.keeps &= module.work().sets
                info.set_aConstraintUsage_in(which, module.work().sets)
        return tuple(arguments)

    def cost_of(self, method: Method) -> str:
        if method.name == "get":
            return "get"
        if self._joined:
            return "joined"
        return "settled" if any(name.startswith(_COMPARED) for name in self._of) else "list"


class _Fast(NamedTuple):
    """The rows of one place by the value of one column, which is the value `at`; the other values are always these."""

    at: int
    others: tuple[Any, ...]
    rows: Mapping[Any, list[Row]]

    def is_for(self, values: tuple[Any, ...]) -> bool:
        """Whether these values ask for rows of the same place."""
        return type(values[self.at]) is str and values[: self.at] + values[self.at + 1 :] == self.others


class Cursor:
    """Walks the rows of one read after the other; SQLite starts it again for each row of an outer table."""

    def __init__(self, module: Module) -> None:
        """Nothing is read yet."""
        self._module = module
        self._reads = 0
        self._text = ""
        self._plan = Plan("", "", (), ())
        self._fast: _Fast | None = None
        self._scan = Scan("", "", (), ())
        self._kept: dict[Any, Mapping[Any, list[Row]]] = {}
        self._slots: tuple[int, ...] = ()
        self._places: Iterator[tuple[dict[int, Any], Iterator[Row]]] = iter(())
        self._constants: Mapping[int, Any] = {}
        self._rows: Iterator[Row] = iter(())
        self._row: Row | None = None

    def Filter(self, _number: int, text: str, values: tuple[Any, ...]) -> None:  # noqa: N802 - apsw's name
        """Begin anew with these values."""
        fast = self._fast
        if fast is not None and fast.is_for(values):
            self._rows = iter(fast.rows.get(values[fast.at], ()))
            self._row = next(self._rows, None)
            return
        if self._text != text:
            self._begin(text)
        self._reads += 1
        places = list(self._read(values))
        self._places = iter(places)
        self._rows = iter(())
        self.Next()
        self._fast = self._faster(values) if self._reads > _DIRECT_READS and len(places) == 1 else None

    def Next(self) -> None:  # noqa: N802 - apsw's name
        """Go on to the next row, of the next place where one is exhausted."""
        self._row = next(self._rows, None)
        while self._row is None:
            place = next(self._places, None)
            if place is None:
                return
            self._constants, self._rows = place
            self._row = next(self._rows, None)

    def Eof(self) -> bool:  # noqa: N802 - apsw's name
        """Whether all rows have been seen."""
        return self._row is None

    def Column(self, number: int) -> Any:  # noqa: N802 - apsw's name
        """One value of the present row."""
        slot = self._slots[number]
        if slot < 0 or self._row is None:
            return self._constants.get(number)
        return self._row[slot]

    def Rowid(self) -> int:  # noqa: N802 - apsw's name
        """What SQLite knows the row by where conditions joined by OR are read one after the other."""
        return int(self._row[-1]) if self._row is not None else 0

    def Close(self) -> None:  # noqa: N802 - apsw's name
        """Let go of what was kept for the join."""
        self._places, self._rows, self._kept, self._fast = iter(()), iter(()), {}, None

    def _begin(self, text: str) -> None:
        way, work = self._module.way(text), self._module.work()
        self._plan, self._method, self._columns, self._slots = way
        self._counts = ROWS in self._plan.used
        self._text = text
        shown = self._columns if self._counts else self._columns[:-1]
        self._scan = Scan(self._plan.table, self._plan.method, self._plan.arguments, shown)
        work.scans.append(self._scan)

    def _read(self, values: tuple[Any, ...]) -> Iterator[tuple[dict[int, Any], Iterator[Row]]]:
        """The places to read with what is the same for all of their rows."""
        module, work = self._module, self._module.work()
        given = {name: _several(value) for name, value in zip(self._plan.arguments, values, strict=True)}
        for name in module.resource.path:
            default = given.pop(DEFAULT + name, None) or _several(work.defaults.get(name))
            if default != [None]:
                given.setdefault(name, default)
        parameters = {name: texts for name, texts in given.items() if not name.startswith(_COMPARED)}
        within = tuple(
            (name[0], texts[0]) for name, texts in given.items() if name[0] in "<>" and isinstance(texts[0], str)
        )
        tests = {name[1:]: allowed for name, allowed in given.items() if name.startswith("=")}
        for combination in product(*parameters.values()):
            if None in combination:
                continue
            chosen = {name: str(value) for name, value in zip(parameters, combination, strict=True)}
            ids = {name: chosen.pop(name) for name in self._method.required}
            source = module.source if module.source.takes(frozenset(chosen)) else module.by_call
            for target in source.targets(Target(self._method, ids, chosen, (), within), work):
                constants = {
                    module.names.index(name): value for name, value in (*target.ids.items(), *target.options.items())
                }
                yield constants, self._rows_of(source, target, tests)

    def _rows_of(self, source: Source, target: Target, tests: Mapping[str, Sequence[Any]]) -> Iterator[Row]:
        """The rows of one place, read when the first of them is taken."""
        direct = (
            not self._plan.keeps
            or self._counts
            or self._method.name == "get"
            or any(map(source.is_key, (*tests, *target.options)))
        )
        if self._reads > _DIRECT_READS and not direct:
            yield from self._from_kept(source, target, tests)
            return
        settled = [name for name in tests if source.settles(name)]
        places = product(*(tests[name] for name in settled))
        parts: Iterator[Sequence[Row]] = chain.from_iterable(
            self._parts(source, replace(target, equal=tuple(zip(settled, place, strict=True))) if place else target)
            for place in places
            if all(isinstance(value, str) for value in place)
        )
        left = [(self._columns.index(name), self._allowed(name, tests[name])) for name in tests if name not in settled]
        if left:
            parts = ([row for row in part if all(row[at] in allowed for at, allowed in left)] for part in parts)
        yield from chain.from_iterable(parts)

    def _parts(self, source: Source, target: Target) -> Iterator[Sequence[Row]]:
        work = self._module.work()
        if self._counts:
            return source.tally(target, self._columns, self._scan, work)
        return source.rows(target, self._columns, self._scan, work, in_order=work.in_order)

    def _from_kept(self, source: Source, target: Target, tests: Mapping[str, Sequence[Any]]) -> list[Row]:
        """The rows with these values, of a place that was read once for the whole statement."""
        names = tuple(tests)
        key = (tuple(target.ids.items()), tuple(target.options.items()), target.within, names)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self._keep(source, target, [self._columns.index(name) for name in names])
        values = [self._allowed(name, tests[name]) for name in names]
        keys = values[0] if len(values) == 1 else product(*values)
        return list(chain.from_iterable(kept.get(each, ()) for each in keys))

    def _keep(self, source: Source, target: Target, slots: Sequence[int]) -> Mapping[Any, list[Row]]:
        """The rows by the values of these columns: by the value itself where it is one."""
        work, kept = self._module.work(), defaultdict[Any, list[Row]](list)
        key_of = itemgetter(*slots) if slots else lambda _: ()
        for part in source.rows(target, self._columns, self._scan, work, in_order=False):
            work.hold(len(part))
            for row in part:
                kept[key_of(row)].append(row)
        return dict(kept)

    def _faster(self, values: tuple[Any, ...]) -> _Fast | None:
        """The shortcut for the next reads of this join, where there is one."""
        compared = [at for at, name in enumerate(self._plan.arguments) if name.startswith("=")]
        if len(compared) != 1 or len(self._kept) != 1 or self._plan.arguments[compared[0]][1:] in self._module.truths:
            return None
        others = values[: compared[0]] + values[compared[0] + 1 :]
        if not all(isinstance(value, str) for value in others):
            return None
        return _Fast(compared[0], others, next(iter(self._kept.values())))

    def _allowed(self, name: str, values: Sequence[Any]) -> frozenset[Any]:
        """The cells of a column that are equal to one of these: booleans have names, others are compared as texts."""
        if name in self._module.truths:
            known = (_TRUTHS.get(value.lower() if isinstance(value, str) else value) for value in values)
            return frozenset(value for value in known if value is not None)
        return frozenset(str(value) if isinstance(value, int) else value for value in values if value is not None)


def _several(value: Any) -> Sequence[Any]:
    """The values of `IN`, or the one of `=`."""
    return sorted(value, key=str) if isinstance(value, set | frozenset | list | tuple) else [value]
