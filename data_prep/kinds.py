"""What a file is, by its first bytes: to say so where another kind was expected."""

WEB_PAGE = "a web page"
GZIP, TAR = "a gzip file", "a tar archive"
BEGINNINGS = {
    b"\x1f\x8b": GZIP, b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file", b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf": "a 7z archive", b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a NumPy array",
    b"\x80\x02": "a Python pickle", b"\x80\x03": "a Python pickle", b"\x80\x04": "a Python pickle",
}


def of(path):
    """Words for the kind of file at path, None for one that is not known here. Raises OSError."""
    with open(path, "rb") as file:
        return named(file.read(512))


def named(start):
    """The same for a file's first 512 bytes."""
    for beginning, kind in BEGINNINGS.items():
        if start.startswith(beginning):
            return kind
    if start[257:262] == b"ustar":
        return TAR
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):  # HTML, or XML of a server
        return WEB_PAGE
    return None
