"""Sends an HTTP request, with nothing but Python's own library (3.6 and later).

Only http and https are spoken, also after a redirect. What a header says of its sender (Authorization, Cookie)
is not sent on to another host.
"""
import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

PRIVATE = ("authorization", "cookie", "proxy-authorization")


class Refused(Exception):
    pass


def check(url):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise Refused("only http and https addresses are requested, not %r" % url)
    return parts


def origin(url):
    parts = urllib.parse.urlsplit(url)
    return parts.scheme.lower(), parts.hostname, parts.port


class Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, most):
        self.left = most

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if self.left == 0:
            return None  # the redirect itself is the answer
        self.left -= 1
        check(newurl)
        new = urllib.request.HTTPRedirectHandler.redirect_request(self, req, fp, code, msg, headers, newurl)
        if new is not None and origin(req.full_url) != origin(newurl):
            for name in [n for n in new.headers if n.lower() in PRIVATE]:
                new.remove_header(name)
        return new


def opener(redirects):
    made = urllib.request.OpenerDirector()  # knows no file:, ftp: or data:
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        Redirects(redirects),
    ):
        made.add_handler(handler)
    return made


def encode(body, headers):
    if body is None:
        return None
    kind = "application/json"
    if isinstance(body, str):
        kind = "text/plain; charset=utf-8"
    else:
        body = json.dumps(body)
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    return body.encode("utf-8")


def send(given):
    check(given["url"])
    headers = dict(given.get("headers") or {})
    if not any(name.lower() == "user-agent" for name in headers):
        headers["User-Agent"] = "attune-http-request/1"
    data = encode(given.get("body"), headers)
    request = urllib.request.Request(given["url"], data=data, headers=headers, method=given.get("method", "GET"))
    try:
        return opener(given.get("redirects", 10)).open(request, timeout=given.get("timeout", 30))
    except urllib.error.HTTPError as answer:
        return answer  # 4xx and 5xx are answers, too


def describe(answer, most):
    raw = answer.read(most + 1)
    kept = raw[:most]
    charset = answer.headers.get_content_charset() or "utf-8"
    try:
        text = kept.decode(charset, "replace")
    except LookupError:
        text = kept.decode("utf-8", "replace")
    result = {
        "status": answer.getcode(),
        "url": answer.geturl(),
        "headers": {name.lower(): value for name, value in answer.headers.items()},
        "body": text,
        "truncated": len(raw) > most,
    }
    if answer.headers.get_content_type() == "application/json" and not result["truncated"]:
        try:
            result["json"] = json.loads(text, parse_constant=lambda name: None)
        except ValueError:
            pass
    return result


def main():
    given = json.loads(sys.stdin.buffer.read().decode("utf-8"))["parameters"]
    try:
        with send(given) as answer:
            result = describe(answer, given.get("max_bytes", 262144))
    except (Refused, OSError, ValueError, http.client.HTTPException) as fault:
        sys.exit("%s %s: %s" % (given.get("method", "GET"), given["url"], fault))
    with open(os.environ["ATTUNE_RESULT_FILE"], "w", encoding="utf-8") as out:
        json.dump(result, out)
    print("%s %s: %d" % (given.get("method", "GET"), result["url"], result["status"]))
    expected = given.get("expect") or range(200, 300)
    if result["status"] not in expected:
        sys.exit("status %d was not expected" % result["status"])


main()
