"""Sends an HTTP request, with nothing but Python's own library (3.6 and later).

Only http and https are spoken, also after a redirect. What a header says of its sender (Authorization, Cookie)
is not sent on to another host. A name is resolved once for each connection, and only those of its addresses are
connected to that are on the public Internet or that the pack's configuration allows.
"""
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

PRIVATE = ("authorization", "cookie", "proxy-authorization")


class Refused(Exception):
    pass


# What is not the public Internet, by what it is called.
SPECIAL = [
    (kind, [ipaddress.ip_network(network) for network in networks.split()])
    for kind, networks in (
        ("a loopback", "127.0.0.0/8 ::1/128"),
        ("a link-local", "169.254.0.0/16 fe80::/10"),
        ("a private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10"),
        ("a carrier's private", "100.64.0.0/10"),
        ("a multicast", "224.0.0.0/4 ff00::/8"),
        ("a reserved", "0.0.0.0/8 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4"),
        ("a reserved", "2001::/23 2001:db8::/32 2002::/16 3fff::/20"),
    )
]
PUBLIC6 = ipaddress.ip_network("2000::/3")
NAT64 = ipaddress.ip_network("64:ff9b::/96")
HOST = re.compile(r"^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$")


def embedded(address):
    """Gives the IPv4 address that an IPv6 one leads to, or the address itself."""
    if address.version == 6 and address.ipv4_mapped:
        return address.ipv4_mapped
    if address.version == 6 and address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def special(address):
    """Says what an address is that is not on the public Internet."""
    address = embedded(address)
    for kind, networks in SPECIAL:
        if any(address.version == network.version and address in network for network in networks):
            return kind
    if address.version == 6 and address not in PUBLIC6:
        return "a reserved"
    return None


class Targets:
    """Connects to what may be connected to."""

    def __init__(self, allow):
        self.networks, self.hosts = [], []
        for entry in allow:
            try:
                self.networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                host = entry.lower().rstrip(".")
                if not HOST.match(host):
                    raise Refused("allow: %r is no address, no network such as 10.0.0.0/8 and no host" % entry)
                self.hosts.append(host)

    def knows(self, host):
        host = host.lower().rstrip(".")
        return any(host == known or known.startswith("*.") and host.endswith(known[1:]) for known in self.hosts)

    def why_not(self, text):
        address = ipaddress.ip_address(text.split("%")[0])
        kind = special(address)
        if kind is None or any(a.version == n.version and a in n for a in (address, embedded(address)) for n in self.networks):
            return None
        return kind

    def connect(self, where, timeout=socket._GLOBAL_DEFAULT_TIMEOUT, source=None):
        """Takes the place of socket.create_connection."""
        host, port = where
        problem = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
            why = None if self.knows(host) else self.why_not(address[0])
            if why:
                what = "is" if host == address[0] else "leads to %s," % address[0]
                problem = problem or Refused(
                    "%s %s %s address; the pack's configuration does not allow it "
                    "(attune pack config set http allow:='[\"%s\"]')" % (host, what, why, address[0])
                )
                continue
            sock = socket.socket(family, kind, protocol)
            try:
                if timeout is not socket._GLOBAL_DEFAULT_TIMEOUT:
                    sock.settimeout(timeout)
                sock.connect(address)
                return sock
            except OSError as fault:
                sock.close()
                problem = fault
        raise problem or OSError("%s has no address" % host)

    def guarded(self, base):
        targets = self

        class Guarded(base):
            def __init__(self, *args, **options):
                base.__init__(self, *args, **options)
                self._create_connection = targets.connect

        return Guarded


class Plain(urllib.request.HTTPHandler):
    def __init__(self, targets):
        urllib.request.HTTPHandler.__init__(self)
        self.connection = targets.guarded(http.client.HTTPConnection)

    def http_open(self, req):
        return self.do_open(self.connection, req)


class Encrypted(urllib.request.HTTPSHandler):
    def __init__(self, targets):
        self.context = ssl.create_default_context()
        urllib.request.HTTPSHandler.__init__(self, context=self.context)
        self.connection = targets.guarded(http.client.HTTPSConnection)

    def https_open(self, req):
        return self.do_open(self.connection, req, context=self.context)


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


def opener(redirects, targets):
    made = urllib.request.OpenerDirector()  # knows no file:, ftp: or data:
    for handler in (
        Plain(targets),
        Encrypted(targets),
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


def send(given, targets):
    check(given["url"])
    headers = dict(given.get("headers") or {})
    if not any(name.lower() == "user-agent" for name in headers):
        headers["User-Agent"] = "attune-http-request/1"
    data = encode(given.get("body"), headers)
    request = urllib.request.Request(given["url"], data=data, headers=headers, method=given.get("method", "GET"))
    try:
        return opener(given.get("redirects", 10), targets).open(request, timeout=given.get("timeout", 30))
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
    whole = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    given = whole["parameters"]
    try:
        with send(given, Targets((whole.get("config") or {}).get("allow") or [])) as answer:
            result = describe(answer, given.get("max_bytes", 262144))
    except (Refused, OSError, ValueError, http.client.HTTPException) as fault:
        sys.exit("%s %s: %s" % (given.get("method", "GET"), given["url"], fault))
    with open(os.environ["ATTUNE_RESULT_FILE"], "w", encoding="utf-8") as out:
        json.dump(result, out)
    print("%s %s: %d" % (given.get("method", "GET"), result["url"], result["status"]))
    expected = given.get("expect") or range(200, 300)
    if result["status"] not in expected:
        sys.exit("status %d was not expected" % result["status"])


if __name__ == "__main__":
    main()
