"""A user's program that calls hosts of Google's by name with every HTTP library that Python programs use for it."""

import asyncio
import http.client
import json
import os
import socket
import sys
import urllib.request

OURS = "https://us-central1-aiplatform.googleapis.com"
PATH = f"/v1/projects/{os.environ.get('PROJECT', 'p')}/locations/us-central1/customJobs?pageSize=1"
OTHERS = "https://bigquery.googleapis.com/bigquery/v2/projects"


def by_requests(url):
    import requests

    return requests.get(url, headers={"Authorization": "Bearer secret"}).text


def by_google_auth(url):
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    return AuthorizedSession(google.auth.default()[0]).get(url).text


def by_urllib3(url):
    import urllib3

    return urllib3.PoolManager().request("GET", url).data


def by_httplib2(url):
    import httplib2

    return httplib2.Http().request(url)[1]


def by_urllib(url):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"X-A": "1"})) as answer:
        return answer.read()


def by_urllib_text(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def by_http_client(url):
    host, slash, path = url.removeprefix("https://").partition("/")
    connection = http.client.HTTPSConnection(host)
    connection.request("GET", slash + path)
    return connection.getresponse().read()


def by_httpx(url):
    import httpx

    return httpx.get(url).text


def by_httpx_async(url):
    import httpx

    async def get():
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).text

    return asyncio.run(get())


def by_aiohttp(url):
    import aiohttp

    async def get():
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    return asyncio.run(get())


def by_socket(url):
    socket.create_connection((url.removeprefix("https://").partition("/")[0], 443), timeout=1)
    return "{}"


def outcome(call, url):
    try:
        return json.loads(call(url))
    except Exception as error:
        while error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
        return f"{type(error).__name__}: {error}"


told = {}
for name in sys.argv[1:]:
    call = globals()[f"by_{name}"]
    told[name] = [outcome(call, OURS + PATH), outcome(call, OTHERS)]
print(json.dumps(told))
