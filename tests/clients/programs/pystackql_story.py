"""What a user of pystackql asks, in local and in server mode; the answers as one JSON object on the last line."""

from __future__ import annotations

import json
import sys

from pystackql import StackQL

PROGRAM, PORT, PROJECT = sys.argv[1:4]
WHERE = f"WHERE projectsId = '{PROJECT}' AND locationsId = 'us-central1'"
JOBS = f"SELECT displayName, state FROM google.aiplatform.custom_jobs {WHERE} ORDER BY displayName"
INSERT = f"""
/*+ create */
INSERT INTO google.aiplatform.custom_jobs (locationsId, projectsId, displayName, jobSpec)
SELECT 'us-central1', '{PROJECT}', '%s',
'{{"workerPoolSpecs": [{{"machineSpec": {{"machineType": "n1-standard-4"}}, "replicaCount": 1,
"containerSpec": {{"imageUri": "host", "command": ["true"]}}}}]}}'
"""


def told(kept) -> dict:
    """The same questions to both modes."""
    return {
        "test": kept.execute("SELECT 'test' AS test_value"),
        "truth": kept.execute("SELECT 1=1 AS e"),
        "nothing": kept.execute("SELECT 1 AS x WHERE 1 = 0"),
        "jobs": kept.execute(JOBS),
        "providers": kept.execute("SHOW PROVIDERS"),
        "pull": kept.executeStmt("REGISTRY PULL google"),
    }


local = StackQL(download_dir=PROGRAM)
made = local.executeStmt(INSERT % "local")
server = StackQL(server_mode=True, server_port=int(PORT))
server_made = server.executeStmt(INSERT % "server")
frame = StackQL(download_dir=PROGRAM, output="pandas").execute(JOBS)
server_frame = StackQL(server_mode=True, server_port=int(PORT), output="pandas").execute(JOBS)
answers = {
    "version": [local.version, local.sha],
    "made": made,
    "server_made": server_made,
    "local": told(local),
    "server": told(server),
    "csv": StackQL(download_dir=PROGRAM, output="csv", header=True).execute("SELECT 1 AS a, 'b,c' AS d"),
    "frame": [list(frame.columns), len(frame)],
    "server_frame": [list(server_frame.columns), len(server_frame)],
    "refused": local.execute("SELECT name FROM google.aiplatform.custom_jobs", suppress_errors=False),
    "bad_insert": local.executeStmt(
        "INSERT INTO google.aiplatform.custom_jobs(projectsId, locationsId, displayName) SELECT 'a', 'b'"
    ),
    "token": local.execute(
        "SELECT 1 AS a", custom_auth={"google": {"type": "api_key", "credentialsenvvar": "T"}}, env_vars={"T": "x"}
    ),
}
print(json.dumps(answers))
