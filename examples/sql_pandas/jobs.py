# %% [markdown]
# # Jobs as data frames
# Every job of a project is a row; its history, attempts, replicas and log lines are tables that join with it.

# %%
"""Jobs of a running service in pandas, over PostgreSQL's protocol and over HTTP: a notebook as plain text."""

from __future__ import annotations

import json
import os
import time
import urllib.request

import pandas as pd
import sqlalchemy

SQL = os.environ.get("TRAINYARD_SQL", "postgresql+psycopg://me@127.0.0.1:5466/google")
HTTP = os.environ.get("TRAINYARD_ENDPOINT", "http://127.0.0.1:8470")
PROJECT = os.environ.get("GOOGLE_CLOUD_PROJECT", "demo")
HERE = {"project": PROJECT, "location": "us-central1"}
engine = sqlalchemy.create_engine(SQL)


def ask(sql: str, **values: object) -> pd.DataFrame:
    """A frame of the answer; `:name` in the statement is a value."""
    return pd.read_sql(sqlalchemy.text(sql), engine, params={**HERE, **values})


# %% [markdown]
# ## Some jobs to look at
# An INSERT creates a job; JSON columns are text that is JSON.

# %%
INSERT = """
    INSERT INTO google.aiplatform.custom_jobs (projectsId, locationsId, displayName, labels, jobSpec)
    VALUES (:project, :location, :name, :labels, :spec)
"""
WORK = {"vision": "echo seen 3 cats; sleep 0.3", "speech": "echo heard nothing; exit 3", "text": "echo read 12 pages"}
with engine.begin() as connection:
    for team, command in WORK.items():
        pool = {
            "machineSpec": {"machineType": "n1-standard-4"},
            "replicaCount": 1,
            "containerSpec": {"imageUri": "host", "command": ["sh", "-c", command]},
        }
        spec = {"workerPoolSpecs": [pool], "scheduling": {"disableRetries": True}}
        values = {**HERE, "name": f"{team}-demo", "labels": json.dumps({"team": team}), "spec": json.dumps(spec)}
        connection.execute(sqlalchemy.text(INSERT), values)

# %% [markdown]
# Wait until all have ended.

# %%
OPEN = """
    SELECT count(*) AS n FROM google.aiplatform.custom_jobs WHERE projectsId = :project AND locationsId = :location
    AND state NOT IN ('JOB_STATE_SUCCEEDED', 'JOB_STATE_FAILED', 'JOB_STATE_CANCELLED')
"""
while ask(OPEN).n[0]:
    time.sleep(0.2)

# %% [markdown]
# ## How did the teams' jobs end?

# %%
ended = ask("""
    SELECT labels ->> 'team' AS team, state, count(*) AS jobs
    FROM google.aiplatform.custom_jobs WHERE projectsId = :project AND locationsId = :location
    GROUP BY 1, 2 ORDER BY 1
""")
print(ended.pivot_table(index="team", columns="state", values="jobs", fill_value=0), "\n")

# %% [markdown]
# ## How long did they wait, and run?
# Times are RFC 3339 texts; pandas makes them times.

# %%
jobs = ask("""
    SELECT displayName, createTime, startTime, endTime
    FROM google.aiplatform.custom_jobs WHERE projectsId = :project AND locationsId = :location
""")
for column in ("createTime", "startTime", "endTime"):
    jobs[column] = pd.to_datetime(jobs[column], format="ISO8601")
jobs["waited"] = (jobs.startTime - jobs.createTime).dt.total_seconds()
jobs["ran"] = (jobs.endTime - jobs.startTime).dt.total_seconds()
print(jobs.sort_values("waited", ascending=False)[["displayName", "waited", "ran"]].to_string(index=False), "\n")

# %% [markdown]
# ## What failed, why, and what did it say last?
# `trainyard.*` joins with the jobs by their name.

# %%
failed = ask("""
    SELECT j.displayName, j.error ->> 'message' AS message, r.exitCode, r.peakMemoryBytes, l.text AS lastLine
    FROM google.aiplatform.custom_jobs j
    JOIN trainyard.replicas r ON r.job = j.name AND r.projectsId = :project
    JOIN trainyard.logs l ON l.job = j.name AND l.projectsId = :project AND l.task <> 'service'
    WHERE j.projectsId = :project AND j.locationsId = :location AND j.state = 'JOB_STATE_FAILED'
""")
print(failed.to_string(index=False), "\n")

# %% [markdown]
# ## The same over HTTP
# One JSON line a row, nothing to install.

# %%
question = {
    "sql": "SELECT displayName, state FROM google.aiplatform.custom_jobs ORDER BY displayName",
    "rows": "objects",
    **HERE,
}
request = urllib.request.Request(f"{HTTP}/v1/sql", json.dumps(question).encode(), {"content-type": "application/json"})
with urllib.request.urlopen(request) as answer:
    rows = [line["row"] for line in map(json.loads, answer) if "row" in line]
print(pd.DataFrame(rows).to_string(index=False))
