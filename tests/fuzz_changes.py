"""Random changes to a file: bytes, JSON, CSV and HDF5, each a function of a random.Random alone.

    what = change(path, rng)     changes the file in place and says how
"""

import csv
import io
import json
import struct

import h5py
import numpy as np

LONG = "x" * 300
NUMBERS = [0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"),
           float("-inf"), 2**31, 2**32, 2**63, -2**63, 2**64, 10**30, 1_000_000_000]
WORDS = ["", " ", LONG, "o\udcff", "\0", "²", "x/../../../E", "../E", "..", "\x1b[31mred", "nan",
         "None", "-1", "1e308", "%s%n", "{}", "a\nb", "bp", "dtp", "digits", "float16", "softmax"]
VALUES = [*NUMBERS, *WORDS, None, True, False, [], {}, [1, 2], {"a": 1}, [[]], ["a", "a"]]


def change(path, rng):
    """Change the file in a way that suits what it is; says how."""
    how = {".json": of_json, ".csv": of_csv, ".h5": of_hdf5}.get(path.suffix)
    if how is None or rng.random() < 0.25:
        return of_bytes(path, rng)
    return how(path, rng)


def of_bytes(path, rng):
    """Flip, cut, zero, repeat or insert bytes; or put big numbers where a header may be."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data) + 1 if rng.random() < 0.6 else min(len(data) + 1, 64))
    kind = rng.choice(["flip", "flip", "cut", "zero", "repeat", "insert", "number", "empty"])
    if kind == "flip" and data:
        for _ in range(rng.choice([1, 1, 1, 8])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zero":
        data[at:at + 32] = bytes(len(data[at:at + 32]))
    elif kind == "repeat":
        data[at:at] = data[at:at + 1000] * rng.choice([1, 50])
    elif kind == "insert":
        data[at:at] = rng.choice([rng.randbytes(9), b"\xff\xfe", b"x" * 200_000, b"\n" * 9])
    elif kind == "number":
        form = rng.choice(["<q", ">i", "<d", ">H"])
        number = struct.pack(form, rng.choice([0, 1, 2**14, 2**16 - 1 if form == ">H" else -1]))
        data[at:at + len(number)] = number
    elif kind == "empty":
        data.clear()
    path.write_bytes(data)
    return f"{kind} at {at}"


# ---- JSON ----------------------------------------------------------------------------------------


def of_json(path, rng):
    """Another value, no value, one more key, or nesting without end."""
    if rng.random() < 0.05:
        path.write_text("[" * 100_000)
        return "nesting"
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return of_bytes(path, rng)
    place, trail = found, []
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = rng.choice(keys)
        trail.append(key)
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.8:
            place = place[key]
            continue
        kind = rng.random()
        if kind < 0.15:
            del place[key]
            what = "removed"
        elif kind < 0.2 and isinstance(place, dict):
            place["another" if rng.random() < 0.5 else LONG] = rng.choice(VALUES)
            what = "added"
        else:
            place[key] = rng.choice(VALUES)
            what = repr(place[key])[:40]
        break
    text = json.dumps(found)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return f"{'.'.join(map(str, trail))}: {what if trail else 'empty'}"


# ---- CSV -----------------------------------------------------------------------------------------


def of_csv(path, rng):
    """A cell, a column, all of them, or the shape of the table."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text())))
    except (ValueError, csv.Error):
        return of_bytes(path, rng)
    if not rows or not rows[0]:
        return of_bytes(path, rng)
    kind = rng.choice(["cell", "cell", "head", "column", "nan", "rows", "huge", "gone", "short"])
    y, x = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
    word = str(rng.choice([*NUMBERS, *WORDS]))
    if kind == "cell" and x < len(rows[y]):
        rows[y][x] = word
    elif kind == "head":
        rows[0][x] = word
    elif kind == "column":
        rows = [row[:x] + row[x + 1:] for row in rows]
    elif kind == "nan":
        rows = [rows[0], *([word if rng.random() < 0.3 else "nan"] * len(row) for row in rows[1:])]
    elif kind == "rows":
        rows += rows[1:] * rng.choice([1, 100])
    elif kind == "huge" and x < len(rows[y]):
        rows[y][x] = "1" * 200_000
    elif kind == "gone":
        rows = rows[:1]
    elif kind == "short":
        rows[y] = rows[y][:x]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    path.write_text(out.getvalue(), errors="surrogateescape")
    return f"{kind} ({y}, {x}) {word[:40]!r}"


# ---- HDF5 ----------------------------------------------------------------------------------------


def of_hdf5(path, rng):
    """A dataset, an attribute or a link; then, mostly, a checkpoint's digest made right again."""
    try:
        with h5py.File(path, "r+") as file:
            names = []
            file.visit(names.append)
            things = [file[name] for name in names] + [file]
            attributes = [(thing, key) for thing in things for key in thing.attrs]
            datasets = [name for name in names if isinstance(file[name], h5py.Dataset)]
            if attributes and (not datasets or rng.random() < 0.35):
                what = of_attribute(*rng.choice(attributes), rng)
            elif "state" in file and rng.random() < 0.5:
                what = of_state(file, rng)
            else:
                what = of_dataset(file, rng.choice(datasets), rng)
            if "digest" in file.attrs and rng.random() < 0.7:
                renew_digest(file)
                what += ", digest renewed"
        return what
    except (OSError, KeyError, RuntimeError, ValueError, TypeError):
        return of_bytes(path, rng)


def of_attribute(thing, key, rng):
    value = rng.choice([v for v in VALUES if not isinstance(v, (dict, type(None)))])
    if rng.random() < 0.2:
        del thing.attrs[key]
        return f"attribute {key} removed"
    before = thing.attrs[key]
    if isinstance(before, str) and before[:1] in "[{" and rng.random() < 0.7:
        try:
            found = json.loads(before)
            if isinstance(found, dict) and found:
                found[rng.choice(list(found))] = rng.choice(VALUES)
            value = json.dumps(found if rng.random() < 0.9 else rng.choice(VALUES))
        except ValueError:
            pass
    try:
        thing.attrs[key] = value
    except (TypeError, ValueError, OverflowError, RuntimeError, OSError):
        thing.attrs[key] = -1
    return f"attribute {key} = {value!r}"[:80]


def of_state(file, rng):
    state = json.loads(file["state"].asstr()[()])
    place, trail = state, []
    while isinstance(place, (dict, list)) and place:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        trail.append(key)
        if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.3:
            if isinstance(place, dict) and rng.random() < 0.2:
                del place[key]
            else:
                place[key] = rng.choice(VALUES)
            break
        place = place[key]
    del file["state"]
    file["state"] = json.dumps(state)
    return f"state.{'.'.join(map(str, trail))}"


def of_dataset(file, name, rng):
    array, kind = file[name][()], rng.choice(
        ["gone", "soft", "external", "nan", "value", "shape", "dtype", "huge", "text", "group",
         "ref"])
    if not isinstance(array, np.ndarray):
        array = np.zeros(3)
    keep = file[name].attrs.items()
    keep = dict(keep)
    if kind in ("nan", "value") and array.size and array.dtype.kind in "fiu":
        flat = array.reshape(-1)
        values = [1e30, -1, 255, 0] if array.dtype.kind in "iu" else NUMBERS
        with np.errstate(all="ignore"):
            made = np.array(rng.choice(values) if kind == "value" else float("nan"))
            flat[rng.randrange(len(flat))] = made.astype(array.dtype)
    del file[name]
    if kind == "gone":
        return f"{name} removed"
    if kind == "soft":
        file[name] = h5py.SoftLink(rng.choice(["/nowhere", f"/{name}", "/"]))
    elif kind == "external":
        file[name] = h5py.ExternalLink(rng.choice(["outside.h5", "/etc/passwd", "."]), "/x")
    elif kind == "huge":
        shape = rng.choice([(2**31, *array.shape[1:]), (*array.shape[:-1], 2**28), (2**40,)])
        file.create_dataset(name, shape, array.dtype, chunks=tuple(min(n, 8) for n in shape))
    elif kind == "text":
        file[name] = rng.choice(["text", "{}", "[" * 5000])
    elif kind == "group":
        file.create_group(name)
    elif kind == "ref":
        file.create_dataset(name, data=np.array([file.ref], h5py.ref_dtype))
    else:
        if kind == "shape":
            array = rng.choice([array.reshape(-1), array[None], array[..., None],
                                array.reshape(-1)[:0], np.zeros(()), array.T])
        elif kind == "dtype":
            array = array.astype(rng.choice(["f2", ">f8", "i8", "u1", "c16", "S3", "?"]))
        file[name] = array
    if name in file and kind not in ("soft", "external"):
        file[name].attrs.update(keep)
    return f"{name}: {kind}"


def renew_digest(file):
    """What ref/checkpoint.py asks for, so that a wrong state comes with a right digest."""
    from ref.common.digest import digest

    arrays = {}
    if "arrays" in file:
        file["arrays"].visititems(
            lambda name, item: arrays.update({name: item[()]})
            if isinstance(item, h5py.Dataset) and item.size < 2**20 else None)
    try:
        file.attrs["digest"] = digest(arrays, file["state"].asstr()[()])
    except Exception:
        file.attrs["digest"] = ""
