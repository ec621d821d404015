"""Whether an address answers 200, as an exit code: the image has no curl.

python -m deploy.docker.health http://127.0.0.1:9464/livez
"""

import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit


def main(url: str) -> int:
    """0 where it does, else 1."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=4)
    try:
        connection.request("GET", address.path)
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
