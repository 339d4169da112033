"""A small OpenStack REST client on the standard library alone.

The cloud's scripts and tests start often and ask little; openstacksdk takes more than a second to import, this
takes nothing. One Cloud object is one login; it is safe to use from several threads.

    cloud = Cloud.from_env()
    server = cloud.get("compute", "/servers/" + uuid)["server"]
"""
import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request

# What each API is asked for: nova's maximum in Zed is 2.93, placement's 1.39.
MICROVERSIONS = {
    "compute": {"OpenStack-API-Version": "compute 2.93", "X-OpenStack-Nova-API-Version": "2.93"},
    "placement": {"OpenStack-API-Version": "placement 1.39"},
}

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RestError(Exception):
    """An answer of 400 and above: `status`, and nova's or keystone's own words in `text`."""

    def __init__(self, method, url, status, text):
        super().__init__(f"{method} {url}: {status} {text[:500]}")
        self.status = status
        self.text = text


def send(method, url, headers=None, body=None, timeout=300):
    """Sends one request; returns (status, headers, bytes). `body`: bytes, a file, or anything JSON can hold."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes) and not hasattr(body, "read"):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with _opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as err:
        raise RestError(method, url, err.code, err.read().decode(errors="replace")) from None
    except (http.client.HTTPException, urllib.error.URLError, ConnectionError, TimeoutError) as err:
        raise ConnectionError(f"{method} {url}: {err}") from err


class Cloud:
    """A login to a project, and the endpoints of its catalogue."""

    def __init__(self, auth_url, username, password, project, region="RegionOne", user_domain="Default",
                 project_domain="Default"):
        user = {"name": username, "password": password, "domain": {"name": user_domain}}
        scope = {"project": {"name": project, "domain": {"name": project_domain}}}
        _, headers, answer = send("POST", auth_url.rstrip("/") + "/auth/tokens", body={
            "auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}})
        token = json.loads(answer)["token"]
        self.token = headers["X-Subject-Token"]
        self.project_id = token["project"]["id"]
        self.endpoints = {"identity": auth_url.rstrip("/")}
        for service in token.get("catalog", []):
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public" and endpoint["region"] == region:
                    self.endpoints.setdefault(service["type"], endpoint["url"].rstrip("/"))
        # Neutron's and glance's entries name the server, not the version.
        for kind, version in (("network", "/v2.0"), ("image", "/v2")):
            if kind in self.endpoints and not self.endpoints[kind].endswith(version):
                self.endpoints[kind] += version

    @classmethod
    def from_env(cls, **overrides):
        """Logs in with the variables that `devstack/cloud env` prints."""
        settings = {
            "auth_url": os.environ["OS_AUTH_URL"], "username": os.environ["OS_USERNAME"],
            "password": os.environ["OS_PASSWORD"], "project": os.environ["OS_PROJECT_NAME"],
            "region": os.environ.get("OS_REGION_NAME", "RegionOne")}
        settings.update(overrides)
        return cls(**settings)

    def request(self, method, service, path, body=None, headers=None, timeout=300):
        """Sends a request; returns the decoded JSON, bytes when it is something else, None when it is empty."""
        sent = {"X-Auth-Token": self.token, "Accept": "application/json"}
        sent.update(MICROVERSIONS.get(service, {}))
        sent.update(headers or {})
        _, got, answer = send(method, self.endpoints[service] + path, sent, body, timeout)
        if not answer:
            return None
        return json.loads(answer) if "json" in got.get("Content-Type", "") else answer

    def get(self, service, path, **query):
        """GET with query parameters; those that are None are left out."""
        query = urllib.parse.urlencode({k: v for k, v in query.items() if v is not None})
        return self.request("GET", service, path + ("?" + query if query else ""))

    def post(self, service, path, body=None, **kwargs):
        return self.request("POST", service, path, body if body is not None else {}, **kwargs)

    def put(self, service, path, body=None, **kwargs):
        return self.request("PUT", service, path, body, **kwargs)

    def delete(self, service, path):
        """DELETE; what is gone already counts as deleted."""
        try:
            self.request("DELETE", service, path)
        except RestError as err:
            if err.status != 404:
                raise
