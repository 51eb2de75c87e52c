"""Is the exporter in this container alive? Exit code 0 or 1, for the image's HEALTHCHECK, which has no curl.

TOKENCOST_HEALTH_URL says where it listens, if that is not port 9742.
"""

from __future__ import annotations

import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

SECONDS = 4.0  # below the HEALTHCHECK's own timeout


def healthy(url: str) -> bool:
    """Whether it answers 200. No proxy and no redirect is followed: this is about the process next door."""
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    if parts.scheme == "https":
        anyone = ssl.create_default_context()  # a certificate is for the service's name, not for 127.0.0.1
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        connection: HTTPConnection = HTTPSConnection(host, parts.port, timeout=SECONDS, context=anyone)
    else:
        connection = HTTPConnection(host, parts.port, timeout=SECONDS)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not healthy(os.environ.get("TOKENCOST_HEALTH_URL", "http://127.0.0.1:9742/-/healthy")))
