"""A user's program for google-api-python-client with the discovery document that comes with it."""

import json
import os
import time

from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

parent = f"projects/{os.environ['PROJECT']}/locations/us-central1"
body = {
    "displayName": "discovered",
    "jobSpec": {
        "workerPoolSpecs": [
            {
                "machineSpec": {"machineType": "n1-standard-4"},
                "replicaCount": "1",
                "containerSpec": {"imageUri": "host", "command": ["sh", "-c", "true"]},
            }
        ]
    },
}
if "ENDPOINT" in os.environ:
    from google.auth.credentials import AnonymousCredentials

    aimed = {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": os.environ["ENDPOINT"]}}
else:
    aimed = {"client_options": {"api_endpoint": "https://us-central1-aiplatform.googleapis.com"}}
told = {}
for version in ("v1", "v1beta1"):
    jobs = build("aiplatform", version, **aimed).projects().locations().customJobs()
    name = jobs.create(parent=parent, body=body).execute()["name"]
    while jobs.get(name=name).execute()["state"] != "JOB_STATE_SUCCEEDED":
        time.sleep(0.05)
    listing = jobs.list(parent=parent, filter='displayName="discovered"', pageSize=1)
    told[version] = len(listing.execute()["customJobs"])
    jobs.cancel(name=name, body={}).execute()
    told[f"{version} delete"] = jobs.delete(name=name).execute()["done"]
    try:
        jobs.get(name=name).execute()
    except HttpError as error:
        told[f"{version} gone"] = [error.resp.status, error.reason]
print(json.dumps(told))
