"""A user's program for the generated clients: both versions, sync and async, over whatever transport it is told."""

import asyncio
import json
import os
import time

from google.cloud import aiplatform_v1, aiplatform_v1beta1

TRANSPORT = os.environ["TRANSPORT"]
PARENT = f"projects/{os.environ['PROJECT']}/locations/us-central1"
HOST = "us-central1-aiplatform.googleapis.com"
POOL = {
    "machine_spec": {"machine_type": "n1-standard-4"},
    "replica_count": 1,
    "container_spec": {"image_uri": "host", "command": ["sleep", "60"]},
}
BODY = {"display_name": "low", "job_spec": {"worker_pool_specs": [POOL]}}
told = {}


def sync_story(module):
    options = {"api_endpoint": os.environ.get("ENDPOINT", HOST)}
    more = {}
    if "ENDPOINT" in os.environ:
        from google.auth.credentials import AnonymousCredentials

        more["credentials"] = AnonymousCredentials()
    client = module.JobServiceClient(transport=TRANSPORT, client_options=options, **more)
    job = client.create_custom_job(parent=PARENT, custom_job=BODY)
    request = {"parent": PARENT, "filter": 'display_name="low"', "page_size": 1}
    listed = [each.display_name for each in client.list_custom_jobs(request=request)]
    client.cancel_custom_job(name=job.name)
    while client.get_custom_job(name=job.name).state.name != "JOB_STATE_CANCELLED":
        time.sleep(0.05)
    client.delete_custom_job(name=job.name).result(timeout=30)
    return [client.transport.kind, listed]


async def async_story(module):
    client = module.JobServiceAsyncClient(client_options={"api_endpoint": HOST})
    job = await client.create_custom_job(parent=PARENT, custom_job=BODY)
    listed = [each.display_name async for each in await client.list_custom_jobs(parent=PARENT)]
    await client.cancel_custom_job(name=job.name)
    while (await client.get_custom_job(name=job.name)).state.name != "JOB_STATE_CANCELLED":
        await asyncio.sleep(0.05)
    operation = await client.delete_custom_job(name=job.name)
    await operation.result(timeout=30)
    return [client.transport.kind, listed]


for module in (aiplatform_v1, aiplatform_v1beta1):
    if TRANSPORT == "grpc_asyncio":
        told[module.__name__] = asyncio.run(async_story(module))
    else:
        told[module.__name__] = sync_story(module)
print(json.dumps(told))
