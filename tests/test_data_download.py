"""data_prep/download.py against a server on this machine: mirrors, resume, checksums."""

import hashlib
import http.server
import random
import threading

import pytest

from data_prep import download
from data_prep.hdf5 import DataError

BODY = random.Random(1).randbytes(1_000_000)
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


PAGES = {"login": b"<!DOCTYPE html><html>log in", "later": b"\xef\xbb\xbf\r\n <HTML>log in",
         "xml": b'<?xml version="1.0"?><Error>AccessDenied</Error>'}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY in the manner that the path names; notes (path, Range header)."""

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        manner = self.path.split("/")[1]
        body = BODY
        if manner == "missing":
            return self.send_error(404)
        if manner == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if manner == "wrong":
            body = b"x" * len(BODY)
        if manner in PAGES:
            body = PAGES[manner]
        if manner == "noranges" or not start:
            start = 0
            self.send_response(200)
        elif manner == "never206" or start >= len(body):
            self.send_response(416)
            if manner != "never206":
                self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        else:
            self.send_response(206)
            said = start + 1 if manner == "elsewhere" else start
            self.send_header("Content-Range", f"bytes {said}-{len(body) - 1}/{len(body)}")
        if manner != "nolength":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if manner == "stalls":
            self.wfile.write(body[start:start + 1000])
            self.wfile.flush()
            self.server.stop_stalling.wait(100)
            return None
        end = start + 400_000 if manner == "breaks" else len(body)
        try:
            self.wfile.write(body[start:end])
        except OSError:
            pass  # the client went away
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.stop_stalling = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.stop_stalling.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "file.gz"


def fetch(server, target, *manners, checksum=SHA256, **options):
    download.fetch([f"{server.url}/{manner}/file.gz" for manner in manners], target, checksum,
                   **options)


def whole(target):
    """The file is there, complete, and nothing else is."""
    return target.read_bytes() == BODY and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("checksum", [SHA256, MD5, SHA256.upper().replace("SHA", "sha"), None])
@pytest.mark.parametrize("manner", ["good", "nolength", "noranges"])
def test_download(server, target, manner, checksum):
    fetch(server, target, manner, checksum=checksum)
    assert whole(target)


def test_a_file_that_is_there_and_right_is_not_downloaded_again(server, target):
    fetch(server, target, "good")
    fetch(server, target, "good")
    assert len(server.requests) == 1


def test_a_file_that_is_there_and_wrong_is_replaced_only_by_a_right_one(server, target):
    target.parent.mkdir()
    target.write_bytes(b"something of the user's")
    with pytest.raises(DataError):
        fetch(server, target, "wrong")
    assert target.read_bytes() == b"something of the user's"
    fetch(server, target, "good")
    assert whole(target)


def test_a_broken_connection_is_resumed_where_it_broke(server, target):
    fetch(server, target, "breaks")
    assert whole(target)
    assert [asked for _, asked in server.requests] == [None, "bytes=400000-", "bytes=800000-"]


@pytest.mark.parametrize("manner, ranges", [
    ("good", ["bytes=1234-"]),
    ("noranges", ["bytes=1234-"]),  # sends everything: the old part is overwritten
    ("elsewhere", ["bytes=1234-", None]),  # sends another range than asked for
    ("never206", ["bytes=1234-", None]),
])
def test_an_earlier_download_is_resumed(server, target, manner, ranges):
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(BODY[:1234])
    fetch(server, target, manner)
    assert whole(target)
    assert [asked for _, asked in server.requests] == ranges


def test_an_earlier_download_that_only_lacked_its_name(server, target):
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(BODY)
    fetch(server, target, "good")  # answers 416
    assert whole(target)


@pytest.mark.parametrize("part", [b"y" * 1234, b"y" * len(BODY), b"y" * (len(BODY) + 5)])
def test_a_wrong_beginning_is_thrown_away(server, target, part):
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(part)
    fetch(server, target, "good")
    assert whole(target)


def test_without_a_checksum_nothing_old_is_built_on(server, target):
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(b"y" * 1234)
    fetch(server, target, "good", checksum=None)
    assert whole(target)
    assert server.requests == [("/good/file.gz", None)]


def test_the_next_mirror_is_tried(server, target):
    fetch(server, target, "missing", "wrong", "good")
    assert whole(target)
    assert [path.split("/")[1] for path, _ in server.requests] == ["missing", "wrong", "good"]


def test_a_mirror_that_is_not_there_or_says_nothing(server, target):
    urls = ["http://127.0.0.1:9/x", f"{server.url}/stalls/x", f"{server.url}/good/x"]
    download.fetch(urls, target, SHA256, timeout=0.5)
    assert whole(target)
    # What the stalling mirror did send was used.
    assert server.requests[-1][1] in ("bytes=1000-", "bytes=2000-", "bytes=3000-")


def test_a_part_stays_for_the_next_time(server, target, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(DataError, match="broke after 400000 of 1000000 bytes"):
        fetch(server, target, "breaks")
    assert not target.exists()
    fetch(server, target, "good")
    assert whole(target)
    assert server.requests[-1] == ("/good/file.gz", "bytes=400000-")


def test_a_wrong_checksum_names_file_expected_and_got(server, target):
    with pytest.raises(DataError) as caught:
        fetch(server, target, "missing", "wrong")
    text = str(caught.value)
    got = hashlib.sha256(b"x" * len(BODY)).hexdigest()
    assert "file.gz" in text and got in text and SHA256.split(":")[1] in text
    assert "HTTP status 404" in text and "\n" not in text
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "mirror"])
def test_only_http(target, url):
    with pytest.raises(DataError, match="not an address to download from"):
        download.fetch([url], target)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:x/", "http://127.0.0.1/a b",
                                 "http://no.such.host.invalid/x"])
def test_an_impossible_address_is_one_line(target, url):
    with pytest.raises(DataError, match="cannot download file.gz"):
        download.fetch([url], target, SHA256)


@pytest.mark.parametrize("checksum", [SHA256, None])
@pytest.mark.parametrize("page", PAGES)
def test_a_web_page_is_not_the_file(server, target, page, checksum, capsys):
    """Given with status 200: a login page. The next mirror is tried, and a line says so."""
    fetch(server, target, page, "good", checksum=checksum)
    assert whole(target)
    said = capsys.readouterr().err
    assert said == (f"{server.url}/{page}/file.gz: it sent a web page, not the file (a login page, "
                    f"or an error?); trying {server.url}/good/file.gz\n")
    target.unlink()
    with pytest.raises(DataError, match="it sent a web page"):
        fetch(server, target, page, checksum=checksum)
    assert list(target.parent.iterdir()) == []


def test_a_web_page_begun_before_is_not_built_on(server, target):
    target.parent.mkdir()
    target.with_name("file.gz.part").write_bytes(PAGES["login"])
    fetch(server, target, "good")
    assert whole(target)


def test_redirects_in_a_loop_are_one_line(server, target, capsys):
    with pytest.raises(DataError) as caught:
        fetch(server, target, "loop")
    assert "\n" not in str(caught.value)
    assert f"{server.url}/loop/file.gz: HTTP status 302 it redirects in a loop" in str(caught.value)
    fetch(server, target, "loop", "good")
    assert whole(target) and capsys.readouterr().err.count("\n") == 1


def test_nothing_is_said_of_the_last_mirror_twice(server, target, capsys):
    with pytest.raises(DataError) as caught:
        fetch(server, target, "missing", "wrong")
    assert str(caught.value).count(server.url) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith(f"trying {server.url}/wrong/file.gz\n")
