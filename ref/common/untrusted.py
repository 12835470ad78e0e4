"""The arrays of an HDF5 file that a stranger wrote, looked at before they are read.

    found = dataset(file, "train/images")      or UserError, in one line
    check_claims(file, [found, ...])                 before any of them is read
    numbers = hdf5.array(found, rows)

A path is followed through plain links alone: a soft or external link leads anywhere. The numbers
lie in this very file. Filters are those that HDF5 and h5py bring along; a plugin would be a program
that the file names. What the arrays claim to hold is plausible for the size of the file, and so is
what each chunk unpacks to: 4 KB can't hold a million images, 10 MB of gzip can hold 10 GB of zeros.
"""

import weakref
import zlib
from math import prod

import h5py

from .command import UserError

MAX_NAMES = 10_000  # in one group
RATIO = 100  # bytes of numbers for a byte of a compressed file: images give 2 to 20
SPARE = 64 << 20  # bytes that a compressed file may hold beyond that: few labels, many times
UNWRITTEN = 1 << 20  # bytes that a file without compression need not hold: HDF5 makes them 0
MAX_CHUNK = 256 << 20  # bytes of a compressed chunk: HDF5 unpacks all of it at a time
SAFE = {1: 512 << 10, 32000: 4 << 20}  # packed bytes that unpack to no more than half a GB, or less
GZIP, SHUFFLE, CHECKSUM, LZF = 1, 2, 3, 32000
KNOWN = (GZIP, SHUFFLE, CHECKSUM, LZF)
FILTERS = {4: "szip", 5: "N-bit", 6: "scale-offset", 32001: "Blosc", 32004: "LZ4",
           32008: "bitshuffle", 32013: "ZFP", 32015: "Zstandard", 32026: "Blosc2"}  # others
PIECE = 1 << 20  # bytes unpacked at a time to see how many there are

_large = weakref.WeakKeyDictionary()  # dataset: its chunks that were not looked at yet


def names(group, where):
    """The names in a group. Raises UserError for more than MAX_NAMES."""
    if len(group) > MAX_NAMES:
        raise UserError(f"{where}: holds {len(group)} names, more than {MAX_NAMES}")
    return set(group)


def member(file, name):
    """The group or array at a path, each part of which must be a plain link, or None."""
    node = file
    for part in name.split("/"):
        if not isinstance(node, h5py.Group):
            raise UserError(f"{name[:80]}: {part} is not in a group")
        link = node.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"{name[:80]} is a soft or external link; only plain ones are read")
        node = node[part]
    return node


def dataset(file, name, virtual=False, text=False):
    """The array of that name, of numbers, and stored so that it is safe to read.

    virtual  whether it may be a view of others, which the caller looks at (ref/rows.py)
    text     whether it is text instead
    Raises UserError.
    """
    found = member(file, name)
    if found is None:
        raise UserError(f"{name[:80]} is missing")
    if not isinstance(found, h5py.Dataset):
        raise UserError(f"{name[:80]} is not an array")
    check_storage(found, name, virtual)
    if found.shape is None:
        raise UserError(f"{name} is empty")
    is_text = h5py.check_string_dtype(found.dtype) is not None
    if is_text != text or not text and found.dtype.kind not in tuple("fiub"):
        raise UserError(f"{name} is of type {str(found.dtype)[:40]}, expected "
                        + ("text" if text else "numbers"))
    return found


def check_storage(found, name, virtual=False):
    """Raise UserError where an array's numbers lie elsewhere, or are packed in a way not read."""
    if found.external or (found.is_virtual and not virtual):
        raise UserError(f"{name}: its numbers lie in another file; copy them into this one")
    packed = filters(found)
    for number, label in packed:
        if number not in KNOWN:
            raise UserError(
                f"{name} is compressed with {FILTERS.get(number) or label or 'a filter'} (HDF5's "
                f"filter {number}), which is not read here: write the file again with gzip or "
                "without compression")
    order = [number for number, _ in packed if number != CHECKSUM]
    if SHUFFLE in order[1:] or len(order) > 2 or order in ([GZIP, LZF], [LZF, GZIP], [GZIP, GZIP],
                                                            [LZF, LZF]):
        raise UserError(f"{name} is compressed more than once: write it again with gzip alone")
    if not is_compressed(found):
        return
    size = prod(found.chunks) * found.dtype.itemsize
    if size > MAX_CHUNK:
        raise UserError(f"{name} is compressed in chunks of {size} bytes, where at most {MAX_CHUNK}"
                        " are unpacked at a time: write it again in smaller ones")


def filters(found):
    """[(number, name)] of what an array's chunks are packed with, the first applied first."""
    plist = found.id.get_create_plist()
    return [(number, label.decode("utf-8", "replace")[:40]) for number, _, _, label in
            (plist.get_filter(k) for k in range(plist.get_nfilters()))]


def is_compressed(found):
    return any(number in SAFE for number, _ in filters(found))


def check_claims(file, datasets):
    """Raise UserError where arrays of a file claim more bytes than it can hold."""
    size = file.id.get_filesize()
    claimed = sum(prod(found.shape or ()) * found.dtype.itemsize for found in datasets)
    limit = size + UNWRITTEN
    if any(map(is_compressed, datasets)):
        limit = RATIO * size + SPARE
    if claimed > limit:
        raise UserError(f"its arrays claim {claimed} bytes, which a file of {size} can't hold: "
                        "write it again")


def check_chunks(found, first, last):
    """Raise UserError where a chunk of the rows [first, last) unpacks to more than it should.

    HDF5 would take whatever memory it asks for. A chunk that is small on the disk can't ask for
    much; a large one is unpacked here first, piece by piece, once.
    """
    if found not in _large:
        _large[found] = _large_chunks(found)
    todo = _large[found]
    for offset in [offset for offset in todo if not offset or first < offset[0] + found.chunks[0]
                   and offset[0] < last]:
        unpacked = _unpacked_size(found.id.read_direct_chunk(offset)[1], _chunk_bytes(found))
        if unpacked > _chunk_bytes(found):
            raise UserError(f"a chunk of {found.name[1:]} unpacks to more than the "
                            f"{_chunk_bytes(found)} bytes that it should hold: it is damaged")
        todo.discard(offset)


def _chunk_bytes(found):
    """Of a chunk, unpacked, with a checksum."""
    return prod(found.chunks) * found.dtype.itemsize + 16


def _large_chunks(found):
    """The offsets of compressed chunks that could unpack to gigabytes. Raises UserError for one
    that is longer packed than unpacked, or so large that it can't be looked at."""
    packed = [number for number, _ in filters(found) if number in SAFE]
    chunks = []
    if not packed:
        return set()
    found.id.chunk_iter(chunks.append)
    most = max((chunk.size for chunk in chunks), default=0)
    if most > 1.01 * _chunk_bytes(found) + 1024:
        raise UserError(f"a chunk of {found.name[1:]} takes {most} bytes, more than it holds: it "
                        "is damaged")
    if packed == [LZF] and most > SAFE[LZF]:
        raise UserError(f"{found.name[1:]} is compressed with LZF in chunks of {most} bytes, where "
                        f"at most {SAFE[LZF]} are read: write it again in smaller ones, or with "
                        "gzip")
    return {chunk.chunk_offset for chunk in chunks
            if chunk.size > SAFE[packed[0]] and not chunk.filter_mask}


def _unpacked_size(packed, enough):
    """How many bytes a zlib stream unpacks to, counted no further than beyond `enough`."""
    stream, total = zlib.decompressobj(), 0
    while packed and total <= enough:
        try:
            piece = stream.decompress(packed, PIECE)
        except zlib.error:
            return total  # HDF5 says so in its own words
        total, packed = total + len(piece), stream.unconsumed_tail
    return total
