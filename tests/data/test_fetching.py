"""Images behind URLs, on a server of the tests that behaves and misbehaves."""

import gzip
import http.server
import threading
import time
from contextlib import suppress

import pytest
from datasets import Dataset
from pools import png
from tiny_embedders import save_clip

from hf_vitselect import ClipEmbedding, load_pool, score, with_image_root
from hf_vitselect.data import fetching
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.errors import RowError
from hf_vitselect.hub.embed import embed_files

HERE = ("127.0.0.1",)
BOMB = gzip.compress(bytes(10**7))


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the first word of the path."""

    def answer(self, data, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        word, _, rest = self.path.strip("/").partition("/")
        with server.lock:
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            getattr(self, f"on_{word.partition('?')[0].partition('.')[0]}")(rest)
        finally:
            with server.lock:
                server.now -= 1

    def on_image(self, rest):
        self.answer(png())

    def on_slow(self, rest):
        time.sleep(0.2)
        self.answer(png(int(rest)))

    def on_page(self, rest):
        self.answer(b"\n<!DOCTYPE html><html>Log in</html>", Content_Type="image/png")

    def on_gone(self, rest):
        self.answer(b"", 404)

    def on_forbidden(self, rest):
        self.answer(b"", 403)

    def on_shaky(self, rest):
        self.answer(b"", 503) if self.server.asked.count(self.path) < 3 else self.answer(png(3))

    def on_to(self, rest):
        self.answer(b"", 302, Location=rest.replace("_", "/"))

    def on_round(self, rest):
        self.answer(b"", 302, Location=self.path)

    def on_stall(self, rest):
        self.send_response(200)
        self.end_headers()
        self.server.stop.wait(20)

    def on_drip(self, rest):
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while not self.server.stop.wait(0.1):
                self.wfile.write(b"x")

    def on_short(self, rest):
        self.answer(png()[:50], Content_Length="100000")

    def on_large(self, rest):
        self.answer(bytes(10**7))

    def on_bomb(self, rest):
        self.answer(BOMB, Content_Encoding="gzip")

    def on_close(self, rest):
        self.connection.close()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server, an empty cache, and limits that a test can wait for."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "SECONDS_OF_SILENCE", 0.5)
    monkeypatch.setattr(fetching, "SECONDS", 2)
    monkeypatch.setattr(fetching, "MOST_BYTES", 10**6)
    monkeypatch.setattr(fetching, "_SECONDS_BETWEEN_TRIES", 0.01)
    fetching._file_system.cache_clear()
    fetching._failures.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked, server.lock, server.now, server.most = [], threading.Lock(), 0, 0
    server.stop = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()
    fetching._file_system.cache_clear()


def read(url, addresses=HERE):
    return ImageAccess(fetch_urls=True, allow_addresses=addresses).find(url).read()


def test_image_is_fetched_once(server):
    for _ in range(2):
        assert read(f"{server.url}/image.png?key=1") == png()
    assert server.asked == ["/image.png?key=1"]


def test_private_addresses_must_be_allowed(server):
    for addresses in ((), ("10.0.0.0/8",)):
        with pytest.raises(RowError, match=r"image_remote: .*not a public address: 127\.0\.0\.1"):
            read(f"{server.url}/image", addresses)
    assert server.asked == []
    assert read(f"{server.url}/image", ("127.0.0.0/8",)) == png()


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
def test_spellings_of_addresses_are_refused(server, host):
    with pytest.raises(RowError, match=r"image_(remote|missing)"):
        read(f"http://{host}:{server.server_port}/image", ())
    assert server.asked == []


def test_redirects_to_private_addresses_are_refused(server):
    assert read(f"{server.url}/to/_image") == png()
    with pytest.raises(RowError, match=r"image_remote: .*not a public address: 127\.0\.0\.2"):
        read(f"{server.url}/to/http:__127.0.0.2:{server.server_port}_image")
    assert server.asked == ["/to/_image", "/image", server.asked[-1]]


def test_names_are_checked_at_the_socket(server, monkeypatch):
    """A name that is public when looked up first, and private when connected to."""
    addresses = iter(["93.184.216.34", "127.0.0.1"])

    async def resolve(self, host, port=0, family=0):
        place = {"hostname": host, "host": next(addresses), "port": port}
        return [{**place, "family": 2, "proto": 0, "flags": 0}]

    next(addresses)
    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    monkeypatch.setattr("aiohttp.connector.DefaultResolver.resolve", resolve)
    with pytest.raises(RowError, match="not a public address"):
        read(f"http://rebound.example:{server.server_port}/image", ())
    assert server.asked == []


FAILURES = {
    "page": "image_error: a web page",
    "large": "image_error: more than 1,000,000 bytes",
    "bomb": "image_error: more than 1,000,000 bytes",
    "gone": "image_missing: .*no such file on the server",
    "forbidden": "image_missing: .*the server answered 403",
    "round": "image_missing: .*more than 5 redirects",
    "to/file:___etc_passwd": "image_missing: .*a protocol other than HTTP",
    "stall": "image_missing: .*the server took longer",
    "drip": "image_missing: .*the server took longer",
    "short": "image_missing: not fetched",
    "close": "image_missing: not fetched",
}


@pytest.mark.parametrize(("path", "error"), FAILURES.items(), ids=FAILURES)
def test_failures_have_reasons(server, path, error):
    start = time.monotonic()
    for _ in range(2):  # The second time without another try.
        with pytest.raises(RowError, match=error) as caught:
            read(f"{server.url}/{path}?token=secret")
        assert "secret" not in str(caught.value)
    assert time.monotonic() - start < 10
    assert len(server.asked) <= max(fetching.TRIES, fetching.REDIRECTS + 1)
    assert not list(fetching._place(server.url, HERE).parent.parent.glob("*/*"))


def test_passing_failures_are_tried_again(server):
    assert read(f"{server.url}/shaky") == png(3)
    assert len(server.asked) == 3


def test_many_are_fetched_in_parallel(server):
    urls = [f"{server.url}/slow/{i}" for i in range(40)]
    ImageAccess(fetch_urls=True, allow_addresses=HERE).prefetch([*urls, None, "a.png", *urls])
    assert sorted(server.asked) == sorted(url.removeprefix(server.url) for url in urls)
    assert 2 < server.most <= fetching.PARALLEL
    assert read(urls[7]) == png(7)


@pytest.mark.parametrize("url", ["ftp://x.org/a.png", "gs://b/a.png", "memory://a.png", "github://a:b@c/d"])
def test_other_protocols_are_not_fetched(server, url):
    with pytest.raises(RowError, match="image_remote: expected a URL of http, https, s3, hf"):
        read(url)


def test_missing_package_is_named(server, monkeypatch):
    def no_package(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.filesystem", no_package)
    with pytest.raises(RowError, match=r"image_remote: .*Install s3fs"):
        read("s3://bucket/a.png")


PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]
PRIVATE = ["10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.1"]
PRIVATE += [
    "::1",
    "fe80::1%eth0",
    "fc00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "240.0.0.1",
]


def test_private_addresses_are_known():
    for address in PUBLIC:
        fetching.refuse_private(address)
    for address in PRIVATE:
        with pytest.raises(PermissionError, match="allow it with allow_addresses"):
            fetching.refuse_private(address)
    fetching.refuse_private("10.1.2.3", ["192.168.0.0/16", "10.1.2.3"])


@pytest.fixture
def rows(server):
    talk = {"prompt": "what?", "completion": "red"}
    paths = ["image", "page", "gone", "slow/1"]
    return Dataset.from_list([{**talk, "image": f"{server.url}/{path}"} for path in paths])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    place = tmp_path_factory.mktemp("clip")
    save_clip(place)
    return ClipEmbedding(str(place))


STATUSES = ["ok", "image_error", "image_missing", "ok"]
WAYS = {
    "map": lambda rows, clip, out: rows.map(clip, batched=True),
    "map in processes": lambda rows, clip, out: rows.map(clip, num_proc=2),
    "shards": lambda rows, clip, out: score(rows, clip, out),
    "stream": lambda rows, clip, out: score(rows.to_iterable_dataset(), clip, out),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_urls_are_fetched_in_every_way(server, rows, clip, way, tmp_path):
    pool = with_image_root(rows, tmp_path, fetch_urls=True, allow_addresses=HERE)
    assert way(pool, clip, str(tmp_path / "out"))["embedding_status"][:] == STATUSES
    assert server.asked.count("/image") == 1


def test_fetched_scores_are_cached(server, rows, clip, tmp_path, monkeypatch):
    rows.to_json(tmp_path / "rows.jsonl")  # Rows in memory are not cached.
    pool = load_pool(tmp_path / "rows.jsonl", fetch_urls=True, allow_addresses=HERE)
    assert pool.map(clip, batched=True)["embedding_status"][:] == STATUSES
    monkeypatch.setattr(ClipEmbedding, "score_rows", lambda self, rows: pytest.fail("scored again"))
    assert pool.map(clip, batched=True)["embedding_status"][:] == STATUSES


def test_pool_without_flag_fetches_nothing(server, rows, clip, tmp_path):
    rows.to_json(tmp_path / "rows.jsonl")
    scored = load_pool(tmp_path / "rows.jsonl").map(clip, batched=True)
    assert scored["embedding_status"][:] == ["image_remote"] * 4
    assert server.asked == []
    pool = load_pool(tmp_path / "rows.jsonl", fetch_urls=True, allow_addresses=HERE)
    assert pool.map(clip, batched=True)["embedding_status"][:] == STATUSES


def test_push_embeds_fetched_images(server, rows, tmp_path):
    pool = with_image_root(rows.select([0, 3]), tmp_path, fetch_urls=True, allow_addresses=HERE)
    stored = embed_files(pool).with_format("arrow")[:]["image"].to_pylist()
    assert stored == [{"bytes": png(), "path": "image"}, {"bytes": png(1), "path": "1"}]
