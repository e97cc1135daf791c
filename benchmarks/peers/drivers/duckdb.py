"""DuckDB over an export of the same jobs, loaded before the time begins; prints samples as JSON, in milliseconds."""

from __future__ import annotations

import json
import os
import sys
import time

sys.path.pop(0)  # this directory: its files are named for the libraries that they drive

import duckdb

ONE = "projectsId = '810000000000'"
MACHINE = "json_extract_string(jobSpec, '$.workerPoolSpecs[0].machineSpec.machineType')"
FIGURES = {
    "get by id": "SELECT name, displayName, state FROM jobs WHERE name = '{name}'",
    "first page with a state filter": f"SELECT * FROM jobs WHERE {ONE} AND state = 'JOB_STATE_FAILED' LIMIT 100",
    "count by state of one project": f"SELECT state, count(*) FROM jobs WHERE {ONE} GROUP BY state",
    "count by state of everything": "SELECT state, count(*) FROM jobs GROUP BY state",
    "JSON path over one project": f"SELECT {MACHINE} AS machine, count(*) FROM jobs WHERE {ONE} GROUP BY machine",
    "join of two projects on displayName": "SELECT count(*) FROM jobs x JOIN jobs y ON x.displayName = y.displayName "
    f"WHERE x.{ONE} AND y.projectsId = '810000000001'",
}


def main() -> None:
    figure, count = sys.argv[1].removeprefix("sql: "), int(sys.argv[2])
    connection = duckdb.connect()
    export = os.environ["TRAINYARD_BENCH_EXPORT"]
    connection.execute(f"CREATE TABLE jobs AS SELECT * FROM read_csv('{export}', all_varchar = true)")
    name = connection.execute(f"SELECT name FROM jobs WHERE {ONE} LIMIT 1").fetchone()[0]
    query = FIGURES[figure].format(name=name)
    connection.execute(query).fetchall()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        connection.execute(query).fetchall()
        times.append((time.perf_counter() - began) * 1000)
    print(json.dumps({"": times}))


if __name__ == "__main__":
    main()
