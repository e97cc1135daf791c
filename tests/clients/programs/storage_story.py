"""A user's program for google-cloud-storage; without STORAGE_EMULATOR_HOST it calls storage.googleapis.com by name."""

import json
import os
import sys

if sys.argv[1] == "by name":
    del os.environ["STORAGE_EMULATOR_HOST"]

from google.cloud import storage

client = storage.Client()
bucket = client.bucket(sys.argv[2])
bucket.blob("a dir/x:1.txt").upload_from_string("hello")
bucket.blob("big").upload_from_string(b"b" * 10_000_000)  # above 8 MiB it is a resumable upload
print(
    json.dumps(
        {
            "text": bucket.blob("a dir/x:1.txt").download_as_text(),
            "size": len(bucket.blob("big").download_as_bytes()),
            "listed": [blob.name for blob in client.list_blobs(sys.argv[2])],
        }
    )
)
