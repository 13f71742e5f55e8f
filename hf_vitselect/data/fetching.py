"""Images behind URLs: fetched once, within limits, and kept on disk.

Rows are written by strangers. The address of every connection is checked when its socket is made, so it is
the one that the host's name, a redirect or a second look-up has led to.
"""

import hashlib
import ipaddress
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import fsspec
from datasets import config

from hf_vitselect.data.archives import MOST_BYTES
from hf_vitselect.errors import RowError, RowStatus, first_line

PROTOCOLS = ("http", "https", "s3", "hf")
"""The URLs that can be fetched."""

PARALLEL = 16
"""Downloads at once in a process."""

REDIRECTS, TRIES = 5, 3
SECONDS_TO_CONNECT, SECONDS_OF_SILENCE, SECONDS = 10, 20, 60
"""Time limits of one try: to connect, between two pieces of the file, in all."""

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_PRIVATE = "not a public address:"
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_CHUNK = 2**20
_SECONDS_BETWEEN_TRIES = 0.5  # and twice as many after the second
_SECONDS_OF_FAILURE = 300  # in which a URL that has failed is not tried again
_failures: dict[Path, tuple[float, RowError]] = {}


def is_url(path: str) -> bool:
    """Whether a path has a protocol, other than that of a file or of an archive in a file."""
    protocol = _URL.match(path)
    return protocol is not None and protocol[1].lower() not in ("file", "zip", "tar")


def without_query(url: str) -> str:
    """A URL without user, password, query and fragment, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def fetch(url: str, addresses: Sequence[str] = ()) -> str:
    """The file on this machine that holds a URL's content.

    Args:
        url: With one of `PROTOCOLS`.
        addresses: Private addresses and networks that may be connected to, such as `10.0.0.0/8`.

    Raises:
        RowError: `image_remote` for another protocol or a private address; `image_missing` if nothing comes
            back; `image_error` for a web page, or for more than `MOST_BYTES`.
    """
    place = _place(url, addresses)
    if place.is_file():
        return str(place)
    failed_at, failure = _failures.get(place, (-_SECONDS_OF_FAILURE, None))
    if failure is not None and time.monotonic() - failed_at < _SECONDS_OF_FAILURE:
        raise failure
    try:
        data = _download(url, addresses)
    except RowError as error:
        _failures[place] = (time.monotonic(), error)
        raise
    _failures.pop(place, None)
    _write(place, data)
    return str(place)


def prefetch(urls: Iterable[str], addresses: Sequence[str] = ()) -> None:
    """Fetch several URLs in parallel; what fails is reported by `fetch`."""
    missing = [url for url in dict.fromkeys(urls) if not _place(url, addresses).is_file()]
    if missing:
        with ThreadPoolExecutor(min(PARALLEL, len(missing))) as threads:
            list(threads.map(partial(_fetch_quietly, addresses=addresses), missing))


def _fetch_quietly(url: str, addresses: Sequence[str]) -> None:
    with suppress(RowError):
        fetch(url, addresses)


def _place(url: str, addresses: Sequence[str]) -> Path:
    key = hashlib.sha256(json.dumps([url, *addresses]).encode("utf-8", "surrogatepass")).hexdigest()
    return Path(config.HF_DATASETS_CACHE, "hf_vitselect_images", key[:2], key)


def _write(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent)
    with open(handle, "wb") as file:
        file.write(data)
    os.replace(name, place)


def _download(url: str, addresses: Sequence[str]) -> bytes:
    shown, protocol = without_query(url), url.partition("://")[0].lower()
    if protocol not in PROTOCOLS:
        raise RowError("image_remote", f"expected a URL of {', '.join(PROTOCOLS)}, got {shown}")
    for left in reversed(range(TRIES)):
        try:
            data = _read(url, _file_system(protocol, tuple(addresses), os.getpid()))
            break
        except ImportError as error:
            raise RowError("image_remote", f"{shown} needs a package: {first_line(error)}") from error
        except Exception as error:  # of fsspec, aiohttp or the client of a store
            private = _PRIVATE in first_line(error)
            if left and not private and _may_pass(error):
                time.sleep(_SECONDS_BETWEEN_TRIES * (TRIES - left))
                continue
            status: RowStatus = "image_remote" if private else "image_missing"
            raise RowError(status, f"not fetched: {shown}: {_reason(error)}") from error
    if len(data) > MOST_BYTES:
        raise RowError("image_error", f"more than {MOST_BYTES:,} bytes: {shown}")
    if _HTML.match(data[:4096]):
        raise RowError("image_error", f"a web page, not an image: {shown}")
    return data


def _read(url: str, files: Any) -> bytes:
    """At most one byte more than allowed."""
    # Without a block size, and with any size, fsspec makes one request, and reads as it comes.
    options = {"block_size": 0, "size": 1} if url[:4].lower() == "http" else {}
    pieces, left = [], MOST_BYTES + 1
    with files.open(url, "rb", **options) as file:
        while left > 0 and (piece := file.read(min(_CHUNK, left))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


@lru_cache(maxsize=64)
def _file_system(protocol: str, addresses: tuple[str, ...], process: int) -> Any:
    """The protocol's file system, one a process: connections do not survive a fork."""
    if protocol not in ("http", "https"):
        return fsspec.filesystem(protocol, skip_instance_cache=True)
    return fsspec.filesystem(
        protocol,
        skip_instance_cache=True,
        max_redirects=REDIRECTS,
        get_client=partial(_client, addresses),
    )


async def _client(addresses: Sequence[str], **options: Any) -> aiohttp.ClientSession:
    """A session without proxies, whose sockets connect to public addresses and these alone."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=partial(_socket, addresses)),
        timeout=aiohttp.ClientTimeout(
            total=SECONDS, sock_connect=SECONDS_TO_CONNECT, sock_read=SECONDS_OF_SILENCE
        ),
        headers={"User-Agent": f"hf_vitselect/{version('hf_vitselect')}"},
        cookie_jar=aiohttp.DummyCookieJar(),
        **options,
    )


def _socket(addresses: Sequence[str], info: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, place = info
    refuse_private(place[0], addresses)
    return socket.socket(family, kind, protocol)


def refuse_private(address: str, allowed: Sequence[str] = ()) -> None:
    """Raise PermissionError for an address that is not public, unless it is allowed."""
    ip = _plain_address(address)
    if any(ip in ipaddress.ip_network(network, strict=False) for network in allowed):
        return
    if not ip.is_global or ip.is_multicast:
        raise PermissionError(f"{_PRIVATE} {ip}; allow it with allow_addresses")


def _plain_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; the IPv4 one that an IPv6 address stands for (mapped, NAT64, 6to4)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _may_pass(error: Exception) -> bool:
    """Whether another try may help."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status >= 500 or error.status in (408, 429)
    if isinstance(error, (aiohttp.ClientConnectorDNSError, aiohttp.InvalidURL)):
        return False
    return isinstance(error, (aiohttp.ClientError, TimeoutError, ConnectionError))


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.TooManyRedirects):
        return f"more than {REDIRECTS} redirects"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the server answered {error.status}"
    if isinstance(error, FileNotFoundError):
        return "no such file on the server"
    if isinstance(error, TimeoutError):
        return f"the server took longer than {SECONDS_OF_SILENCE} s"
    if isinstance(error, aiohttp.NonHttpUrlRedirectClientError):
        return "a redirect to a protocol other than HTTP"
    return re.sub(r"\?\S+", "", first_line(error))
