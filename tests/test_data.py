"""ref/data.py, ref/parts.py: every example once an epoch, in a fixed order; bad files."""

import json

import h5py
import numpy as np
import pytest
from checks import assert_same_bits

import data_prep.hdf5
import ref.parts
from ref.data import open_data
from ref.parts import DataFormatError, InMemory, Streamed

N, SHAPE, CLASSES = 53, (2, 3, 1), 60
CHUNK = 2  # rows of a chunk, and so of a run that a Streamed part reads
ROW = 6  # bytes of an image

# Image k of the training part has k in every pixel and the label k, so that examples are known
# by their labels and a label that has lost its image shows.
IMAGES = np.broadcast_to(np.arange(N, dtype=np.uint8)[:, None, None, None], (N, *SHAPE))


def write(path, compression=None):
    """A data set in the form of data_prep/hdf5.py: N training examples and 7 to test."""
    with h5py.File(path, "w") as file:
        file.attrs.update({
            "format": "ref-data", "version": 1, "name": "tiny", "shuffle_seed": 0,
            "classes": json.dumps([f"class {k}" for k in range(CLASSES)]), "source": "here",
            "sha256": "{}", "command": "none", "created": "2020-01-01T00:00:00Z", "numpy": "2",
        })
        for part, images in (("train", IMAGES), ("test", IMAGES[:7])):
            file.create_dataset(f"{part}/images", data=images, chunks=(CHUNK, *SHAPE),
                                compression=compression)
            file.create_dataset(f"{part}/labels", data=np.arange(len(images), dtype=np.uint8))
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "tiny.h5")


@pytest.fixture(autouse=True)
def runs_of_one_chunk(monkeypatch):
    """So that 53 tiny images make 27 runs."""
    monkeypatch.setattr(ref.parts, "RUN", CHUNK * ROW)


KINDS = {  # how open_data is told to keep a part
    "in memory": {},
    "streamed, one run in a window": {"memory_limit": 0, "window": 1},
    "streamed, three runs in a window": {"memory_limit": 0, "window": 3 * CHUNK * ROW},
    "streamed, one window": {"memory_limit": 0},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
STREAMED = [kind for kind in KINDS if kind != "in memory"]


def order(part, batch_size=5, seed=0, epoch=1):
    """The examples in the order of an epoch; checks the batches on the way."""
    batches = list(part.epoch(batch_size, seed, epoch))
    sizes = [len(labels) for _, labels in batches]
    assert all(size == batch_size for size in sizes[:-1]) and 0 < sizes[-1] <= batch_size
    for images, labels in batches:
        assert images.dtype == np.uint8 and images.shape == (len(labels), *SHAPE)
        assert (images == labels[:, None, None, None]).all()
    return np.concatenate([labels for _, labels in batches]).tolist()


# ---- epochs --------------------------------------------------------------------------------------


@every_kind
def test_which_parts_stay_in_the_file(path, kind):
    part = open_data(path, **KINDS[kind]).train
    assert isinstance(part, InMemory if kind == "in memory" else Streamed)
    assert len(part) == N


@every_kind
@pytest.mark.parametrize("batch_size", [1, 5, 7, N, 1000])
def test_every_example_once_an_epoch(path, kind, batch_size):
    part = open_data(path, **KINDS[kind]).train
    for epoch in (1, 2):
        assert sorted(order(part, batch_size, epoch=epoch)) == list(range(N))


@every_kind
def test_the_order_is_a_function_of_seed_and_epoch(path, kind):
    """Whatever was read before: another opening of the file, epoch 3 without 1 and 2."""
    first, second = (open_data(path, **KINDS[kind]).train for _ in range(2))
    for epoch in (1, 2, 3):
        last = order(first, seed=4, epoch=epoch)
    assert last == order(second, seed=4, epoch=3)


@every_kind
def test_a_new_order_each_epoch_and_for_each_seed(path, kind):
    part = open_data(path, **KINDS[kind]).train
    orders = [order(part, seed=seed, epoch=epoch) for seed in (0, 1) for epoch in (1, 2, 3)]
    assert len({tuple(o) for o in orders}) == len(orders)
    assert list(range(N)) not in orders


@every_kind
def test_the_order_does_not_depend_on_the_batch_size(path, kind):
    """A function of the seed and the epoch *alone*."""
    part = open_data(path, **KINDS[kind]).train
    assert order(part, batch_size=7) == order(part, batch_size=5)


@every_kind
def test_two_epochs_may_be_read_at_once(path, kind):
    part = open_data(path, **KINDS[kind]).train
    pairs = zip(part.epoch(5, 0, 1), part.epoch(5, 0, 2), strict=True)
    first = [label for (_, labels), _ in pairs for label in labels]
    assert first == order(part, epoch=1)


@every_kind
@pytest.mark.parametrize("batch_size", [1, 5, 7, N])
def test_skipping_batches_changes_none_of_the_others(path, kind, batch_size):
    """What a run that is resumed in the middle of an epoch reads."""
    part = open_data(path, **KINDS[kind]).train
    whole = [labels.tolist() for _, labels in part.epoch(batch_size, 0, 1)]
    for skip in range(len(whole) + 2):
        rest = [labels.tolist() for _, labels in part.epoch(batch_size, 0, 1, skip)]
        assert rest == whole[skip:]


@every_kind
@pytest.mark.parametrize("batch_size", [1, 5, 7, N])
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_share_of_a_rank(path, kind, batch_size, ranks, monkeypatch):
    """The images of its rows of the same batches, also after some that are done, and the labels of
    all. Nothing is read that is further than a chunk from all of them."""
    part = open_data(path, **KINDS[kind]).train
    read = []
    if kind != "in memory":
        real = part._read_rows
        monkeypatch.setattr(part, "_read_rows", lambda first, end: read.append((first, end))
                            or real(first, end))
    whole = list(part.epoch(batch_size, 0, 1))
    for skip in (0, 2):
        every = []
        for rank in range(ranks):
            def share(n, rank=rank):
                return slice(n * rank // ranks, n * (rank + 1) // ranks)

            read.clear()
            given = list(part.epoch(batch_size, 0, 1, skip, share))
            assert len(given) == max(0, len(whole) - skip)
            for (images, labels), (of_all, said) in zip(given, whole[skip:], strict=True):
                assert_same_bits(images, of_all[share(len(said))])
                assert_same_bits(labels, said)
            rows = np.concatenate([[], *(images[:, 0, 0, 0] for images, _ in given)])
            for first, end in read:
                inside = np.sort(rows[(rows >= first) & (rows < end)])
                assert inside[0] == first and inside[-1] == end - 1
                assert (np.diff(inside) <= CHUNK).all()
            every += rows.tolist()
        for rank in range(ranks):  # and in evaluation
            given = part.in_order(batch_size, lambda n, r=rank: slice(n * r // ranks,
                                                                      n * (r + 1) // ranks))
            for (images, labels), (of_all, said) in zip(given, part.in_order(batch_size),
                                                        strict=True):
                n = len(said)
                assert_same_bits(images, of_all[n * rank // ranks : n * (rank + 1) // ranks])
                assert_same_bits(labels, said)
        rest = np.concatenate([[], *(labels for _, labels in whole[skip:])])
        assert sorted(every) == sorted(rest)


def test_runs_come_one_by_one_in_a_random_order(path):
    """With one run in a window: the rows of a run together, other runs first in another epoch."""
    part = open_data(path, **KINDS["streamed, one run in a window"]).train
    first, second = ([label // CHUNK for label in order(part, epoch=epoch)] for epoch in (1, 2))
    for runs in (first, second):
        assert sum(a != b for a, b in zip(runs, runs[1:], strict=False)) == -(-N // CHUNK) - 1
        assert (np.diff(runs) < 0).sum() > 5
    assert first != second


def test_a_window_mixes_all_of_its_runs(path):
    """Three runs in a window: neighbours in an epoch are seldom neighbours in the file."""
    part = open_data(path, **KINDS["streamed, three runs in a window"]).train
    steps = np.diff(order(part))
    assert (steps == 1).mean() < 0.3


@every_kind
def test_evaluation_is_in_the_order_of_the_file(path, kind):
    data = open_data(path, validation=10, **KINDS[kind])
    for part, expected in ((data.train, range(N - 10)), (data.validation, range(N - 10, N)),
                           (data.test, range(7))):
        labels = [label for _, batch in part.in_order(4) for label in batch]
        assert labels == list(expected)


@every_kind
@pytest.mark.parametrize("validation", [1, 6, 10, N - 1])
def test_validation_and_training_share_nothing_and_miss_nothing(path, kind, validation):
    data = open_data(path, validation, **KINDS[kind])
    train, held_out = order(data.train), order(data.validation)
    assert len(held_out) == len(data.validation) == validation
    assert len(train) == len(data.train) == N - validation
    assert sorted(train + held_out) == list(range(N))


def test_no_validation_by_default(path):
    assert open_data(path).validation is None


@every_kind
def test_what_the_file_says(path, kind):
    data = open_data(path, **KINDS[kind])
    assert (data.name, data.in_shape, len(data.classes)) == ("tiny", SHAPE, CLASSES)


@pytest.mark.parametrize("kind", ["in memory", STREAMED[0]])
def test_reads_what_data_prep_writes(tmp_path, kind):
    path = tmp_path / "written.h5"
    labels = np.arange(N)
    data_prep.hdf5.write(
        path, (np.array(IMAGES), labels), (np.array(IMAGES[:7]), labels[:7]), name="tiny",
        classes=[str(k) for k in range(CLASSES)], seed=3, source="here", command="none")
    data = open_data(path, **KINDS[kind])
    assert sorted(order(data.train)) == list(range(N))
    assert sorted(order(data.test)) == list(range(7))


# ---- files that can't be used --------------------------------------------------------------------


def replace(file, name, data):
    del file[name]
    file[name] = data


def without_pixels(file):
    for part, n in (("train", N), ("test", 7)):
        replace(file, f"{part}/images", np.zeros((n, 0, 3, 1), np.uint8))


def without_examples(file):
    replace(file, "test/images", np.zeros((0, *SHAPE), np.uint8))
    replace(file, "test/labels", np.zeros(0, np.uint8))


def group_for_array(file):
    del file["train/images"]
    file.create_group("train/images")


BAD = {  # what is wrong: (how to make it so, what the message must name)
    "no classes": (lambda f: f.attrs.pop("classes"), "classes"),
    "classes are not JSON": (lambda f: f.attrs.update(classes="cat, dog"), "classes"),
    "classes are a number": (lambda f: f.attrs.update(classes=3), "classes"),
    "classes are one string": (lambda f: f.attrs.update(classes='"cat"'), "classes"),
    "one class": (lambda f: f.attrs.update(classes='["cat"]'), "classes"),
    "fewer classes than labels": (lambda f: f.attrs.update(classes='["a", "b"]'), "train/labels"),
    "no train": (lambda f: f.pop("train"), "train/images"),
    "no test": (lambda f: f.pop("test"), "test/images"),
    "no labels": (lambda f: f.pop("test/labels"), "test/labels"),
    "a group for an array": (group_for_array, "train/images"),
    "a link to nowhere": (
        lambda f: replace(f, "train/images", h5py.ExternalLink("gone.h5", "/x")), "train/images"),
    "float images": (
        lambda f: replace(f, "train/images", IMAGES.astype(np.float32)), "train/images"),
    "flat images": (lambda f: replace(f, "train/images", IMAGES.reshape(N, 6)), "train/images"),
    "images without pixels": (without_pixels, "train/images"),
    "too few labels": (
        lambda f: replace(f, "train/labels", np.zeros(N - 1, np.uint8)), "train/labels"),
    "one-hot labels": (
        lambda f: replace(f, "train/labels", np.eye(N, dtype=np.uint8)), "train/labels"),
    "float labels": (lambda f: replace(f, "train/labels", np.zeros(N)), "train/labels"),
    "a negative label": (
        lambda f: replace(f, "test/labels", np.full(7, -1, np.int8)), "test/labels"),
    "a label too large": (
        lambda f: replace(f, "test/labels", np.full(7, CLASSES, np.uint8)), "test/labels"),
    "no examples": (without_examples, "test/labels"),
    "another shape to test": (
        lambda f: replace(f, "test/images", np.zeros((7, 3, 2, 1), np.uint8)), "test/images"),
    "another format": (lambda f: f.attrs.update(format="other"), "format"),
    "a later version": (lambda f: f.attrs.update(version=2), "version"),
}


@pytest.mark.parametrize("problem", BAD)
def test_a_bad_file_is_refused(path, problem):
    """With a message that has the file and the array or attribute that is wrong."""
    spoil, named = BAD[problem]
    with h5py.File(path, "a") as file:
        spoil(file)
    with pytest.raises(DataFormatError) as error:
        open_data(path)
    assert str(path) in str(error.value) and named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataFormatError, match="gone.h5"):
        open_data(tmp_path / "gone.h5")


def test_a_folder(tmp_path):
    with pytest.raises(DataFormatError, match="it is a folder, not a file"):
        open_data(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all" * 100])
def test_a_file_of_another_kind(path, content):
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match="not an HDF5 file"):
        open_data(path)


def test_a_truncated_file(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataFormatError, match="tiny.h5"):
        open_data(path)


@every_kind
@pytest.mark.parametrize("chunk", [0, 7, 26])
def test_a_damaged_file(tmp_path, kind, chunk):
    """Opens, but a compressed chunk cannot be read: noticed then, or when an epoch gets there."""
    path = write(tmp_path / "tiny.h5", compression="gzip")
    with h5py.File(path) as file:
        place = file["train/images"].id.get_chunk_info(chunk)
    content = bytearray(path.read_bytes())
    content[place.byte_offset:place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match="tiny.h5"):
        order(open_data(path, **KINDS[kind]).train)


@pytest.mark.parametrize("validation", [-1, N, 1000])
def test_a_validation_part_that_does_not_fit(path, validation):
    with pytest.raises(DataFormatError, match=f"--validation {validation}"):
        open_data(path, validation)
