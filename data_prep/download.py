"""Download one file: several mirrors, resume, a progress bar, and a checksum before it counts.

The bytes are collected in NAME.part; only a file that is complete, and whose checksum is right, is
renamed to NAME. So a NAME that is there is whole, and a download that broke is resumed from
NAME.part (HTTP Range, RFC 9110 section 14), in the next attempt or the next call. One process at a
time downloads into a folder, and no more than the file's size, or a limit, is taken from a mirror.
"""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from data_prep import kinds
from data_prep.hdf5 import DataError
from ref.common import files
from ref.common.command import say
from ref.common.reading import size_of

ATTEMPTS = 3  # at one mirror, one after the other, as long as it answers
BLOCK = 256 * 1024  # bytes read at a time, at most
TIMEOUT = 30  # seconds without a byte
LIMIT = 2 << 30  # bytes of a file whose size is not known


class Broken(Exception):
    """One attempt failed. `retry`: whether the same mirror is worth another one."""

    def __init__(self, reason, retry):
        super().__init__(reason)
        self.retry = retry


def digest(path, algorithm="sha256"):
    """The file's checksum, as hexadecimal digits."""
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def check(path, checksum, name):
    """Raise DataError unless the file at path, called `name`, has the checksum.

    checksum: "sha256:HEX" or "md5:HEX"; None lets every file pass.
    """
    if checksum is None:
        return
    algorithm, expected = checksum.split(":")
    got = digest(path, algorithm)
    if got != expected.lower():
        raise DataError(f"{name}: {algorithm} checksum is {got}, expected {expected}: the file is "
                        "damaged or not the published one")


def fetch(urls, target, checksum=None, timeout=TIMEOUT, limit=LIMIT):
    """Download the file at the first of `urls` that gives it, as `target`.

    urls      list of str, http or https, all of the same file
    target    path; if the file is there already and its checksum is right, nothing is downloaded
    checksum  "sha256:HEX" or "md5:HEX"; None if it is not known: then an earlier download is
              neither trusted nor resumed, because nothing would show that the parts belong together
    timeout   seconds to wait for an answer, or for the next bytes of it
    limit     bytes that the file may have: its size, where that is known
    Why a mirror is given up for the next one, a line on stderr says. Raises DataError when no
    mirror gives the file, with what was wrong at each.
    """
    target = Path(target)
    part = target.with_name(target.name + ".part")
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise DataError(f"{url}: not an address to download from (http:// or https://)")
    if checksum and target.is_file():
        try:
            return check(target, checksum, target.name)
        except DataError:
            pass  # the file stays until a good one takes its place
    files.make_folder(target.parent)
    problems = []
    with files.passing_lock(target.parent / ".lock",
                            f"{target.parent}: another process is downloading into it"):
        for k, url in enumerate(urls, 1):
            if checksum is None:
                part.unlink(missing_ok=True)
            try:
                complete(url, part, checksum, target.name, timeout, limit)
            except (Broken, DataError) as error:
                problems.append(f"{url}: {error}")
                if k < len(urls):
                    say(f"{problems[-1]}; trying {urls[k]}")
            else:
                return os.replace(part, target)
    raise DataError(f"cannot download {target.name}: " + "; ".join(problems))


def complete(url, part, checksum, name, timeout, limit=LIMIT):
    """Bring `part` to the whole file, checked. Raises Broken or DataError."""
    resumed = part.exists()
    if resumed and (part.is_symlink() or size_of(part, error=DataError) > limit):
        part.unlink()  # of no download
    fetch_from(url, part, timeout, limit)
    try:
        if kinds.of(part) == kinds.WEB_PAGE:
            raise DataError("it sent a web page, not the file (a login page, or an error?)")
        check(part, checksum, name)
    except DataError:
        part.unlink()
        if not resumed:
            raise
        # perhaps only the old beginning was wrong
        complete(url, part, checksum, name, timeout, limit)


def fetch_from(url, part, timeout, limit=LIMIT):
    """Complete `part` from one mirror, resuming after a break. Raises Broken."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return receive(url, part, timeout, limit)
        except Broken as error:
            if attempt == ATTEMPTS or not error.retry:
                raise


def receive(url, part, timeout, limit=LIMIT):
    """Append to `part` what is missing of the file at url, in one request. Raises Broken."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:  # nothing after what we have: is that all there is?
                if error.headers.get("Content-Range") == f"bytes */{have}":
                    return
                part.unlink()
                raise Broken("the mirror cannot resume", retry=True) from error
            said = reason(error.reason)
            if "infinite loop" in said:  # urllib's word for too many of them, too
                said = "it redirects in a loop"
            raise Broken(f"HTTP status {error.code} {said}", retry=False) from error
    except urllib.error.URLError as error:
        raise Broken(reason(error.reason), retry=False) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Broken(reason(error), retry=False) from error

    with response:
        if response.status == 206:
            resumed_at = response.headers.get("Content-Range", "")
            if not resumed_at.startswith(f"bytes {have}-"):
                part.unlink()
                raise Broken(f"asked for bytes {have}-, got {resumed_at!r}", retry=True)
        else:
            have = 0  # the server ignores Range and sends the whole file
        length = response.headers.get("Content-Length", "")
        expected = have + int(length) if length.isdecimal() else None
        if expected is not None and expected > limit:
            raise Broken(f"it sends {expected} bytes, at most {limit} are expected", retry=False)
        got = save(response, part, have, expected, limit)
    if expected is not None and got < expected:
        raise Broken(f"the connection broke after {got} of {expected} bytes", retry=True)


def save(response, part, have, expected, limit=LIMIT):
    """Write the response to `part` after its first `have` bytes; return the bytes now there.

    expected: the size of the whole file in bytes for the progress bar, None if it is not known.
    More than `limit` bytes are not kept: Broken.
    """
    # disable=None: no bar unless stderr is a terminal
    bar = tqdm(total=expected, initial=have, desc=part.stem, unit="B", unit_scale=True,
               disable=None)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if have else os.O_TRUNC)
    with files.open_plain(part, flags, "ab" if have else "wb") as file, bar:
        while True:
            try:
                block = response.read1(BLOCK)  # what has arrived, not waiting for more
            except (OSError, http.client.HTTPException) as error:
                raise Broken(f"broke after {file.tell()} bytes: {reason(error)}",
                             retry=True) from error
            if not block:
                return file.tell()
            if file.tell() + len(block) > limit:
                part.unlink()
                raise Broken(f"it sends more than the {limit} bytes expected", retry=False)
            file.write(block)
            bar.update(len(block))


def reason(error):
    """One line about an error from the network or the system."""
    said = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return " ".join(said.split())
