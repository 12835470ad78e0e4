"""Layouts of images besides ILSVRC2012's own: tiny-imagenet, labels in names, quoted CSV."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_data_imagenet import CLASSES, arguments_for, make_tree, pixels, saved

from data_prep import imagenet, imagenet_files, imagenet_labels
from data_prep.hdf5 import DataError


@pytest.fixture
def tiny(tmp_path):
    """tiny-imagenet's folders: {name of a val file: label}."""
    rng, labels, source = np.random.default_rng(0), {}, tmp_path / "tiny"
    lines = []
    for label, wnid in enumerate(CLASSES):
        images = source / "train" / wnid / "images"
        images.mkdir(parents=True)
        (source / "train" / wnid / f"{wnid}_boxes.txt").write_text("x_0.JPEG\t0\t0\t9\t9\n")
        for k in range(5):
            (images / f"{wnid}_{k}.JPEG").write_bytes(saved(pixels(rng, label), quality=95))
    (source / "val" / "images").mkdir(parents=True)
    for k in range(9):
        name, label = f"val_{k}.JPEG", int(rng.integers(4))
        labels[name] = label
        lines.append(f"{name}\t{CLASSES[label]}\t0\t32\t44\t62\n")
        (source / "val" / "images" / name).write_bytes(saved(pixels(rng, label), quality=95))
    (source / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    (source / "test" / "images").mkdir(parents=True)
    (source / "wnids.txt").write_text("\n".join(reversed(CLASSES)))
    return source, labels


def test_tiny_imagenet(tiny, tmp_path):
    source, labels = tiny
    tree = imagenet_files.read_tree(source)
    assert tree.classes == CLASSES
    assert np.bincount(tree.train.labels).tolist() == [5] * 4
    assert {Path(path).name: label for path, label in
            zip(tree.test.paths, tree.test.labels.tolist(), strict=True)} == labels
    assert tree.notes[-1].startswith("note: 4 other files and folders are passed over, e.g. train/")
    imagenet.main(arguments_for(source, "--out", tmp_path / "tiny.h5", "--workers", 1))
    with h5py.File(tmp_path / "tiny.h5") as file:
        for part, n in (("train", 20), ("test", 9)):
            images, found = file[part]["images"][:], file[part]["labels"][:]
            assert len(images) == n  # a grey level for each class
            assert np.array_equal(np.rint((images.mean(axis=(1, 2, 3)) - 40) / 50), found)
        assert json.loads(file.attrs["classes"]) == CLASSES


def test_tiny_imagenet_without_its_labels(tiny, tmp_path):
    source, labels = tiny
    annotations = source / "val" / "val_annotations.txt"
    annotations.rename(tmp_path / "labels")
    with pytest.raises(DataError, match="give their labels with --labels FILE"):
        imagenet_files.read_tree(source)
    tree = imagenet_files.read_tree(source, tmp_path / "labels")
    assert tree.test.labels.tolist() == [labels[name] for name in sorted(labels)]
    annotations.write_text("val_0.JPEG\tn00000001\n")
    with pytest.raises(DataError, match="val_annotations.txt: no label for val/val_1.JPEG"):
        imagenet_files.read_tree(source)


def test_a_class_may_be_called_images(tmp_path):
    classes = ["images", "others"]
    make_tree(tmp_path, 8, 6, classes=classes, bad=False)
    tree = imagenet_files.read_tree(tmp_path)
    assert tree.classes == classes and len(tree.test.paths) == 6


@pytest.fixture
def flat(tmp_path):
    labels = make_tree(tmp_path / "s", 8, 12, flat=True, bad=False)
    for name in CLASSES:
        (tmp_path / "s/train" / name).mkdir(exist_ok=True)
    return tmp_path / "s", labels


def test_labels_in_the_names_of_val(flat):
    source, labels = flat
    for name, label in labels.items():
        (source / "val" / name).rename(
            source / "val" / name.replace(".JPEG", f"_{CLASSES[label]}.JPEG"))
    tree = imagenet_files.read_tree(source)
    assert tree.test.labels.tolist() == [labels[name] for name in sorted(labels)]
    assert any(note.startswith("note: the labels of val are those in the names of its files, e.g. "
                               "ILSVRC2012_val_00000000_n") for note in tree.notes)
    next((source / "val").glob("*.JPEG")).rename(source / "val" / "ILSVRC2012_val_9_n5.JPEG")
    with pytest.raises(DataError, match="give their labels with --labels FILE"):
        imagenet_files.read_tree(source)


@pytest.mark.parametrize("names, classes, labels", [
    (["a_cat.png", "b_dog.JPEG"], ["cat", "dog"], [0, 1]),
    (["a_hot_dog.png", "b_dog.png"], ["dog", "hot_dog"], [1, 0]),  # the longest name that fits
    (["val_0.png", "val_1.png"], ["0", "1"], None),  # these count the files
    (["cat.png"], ["cat", "dog"], None), (["a_cat.png", "b.png"], ["cat", "dog"], None)])
def test_what_counts_as_a_label_in_a_name(names, classes, labels):
    assert imagenet_labels.in_names(names, classes) == labels


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("header", [True, False])
def test_quoted_csv(flat, tmp_path, quote, header):
    source, labels = flat
    lines = [f"{quote}{name.removesuffix('.JPEG')}{quote},{quote}{CLASSES[label]} 1 2 3 4 "
             f"{CLASSES[label]} 5 6 7 8 {quote}" for name, label in reversed(labels.items())]
    if header:
        lines.insert(0, f"{quote}ImageId{quote},{quote}PredictionString{quote}")
    (tmp_path / "LOC_val_solution.csv").write_text("\r\n".join(lines) + "\r\n")
    tree = imagenet_files.read_tree(source, tmp_path / "LOC_val_solution.csv")
    assert tree.test.labels.tolist() == [labels[name] for name in sorted(labels)]


def test_quoted_labels_alone(flat, tmp_path):
    source, labels = flat
    (tmp_path / "labels.csv").write_text("".join(f'"{CLASSES[labels[name]]}"\n'
                                                 for name in sorted(labels)))
    tree = imagenet_files.read_tree(source, tmp_path / "labels.csv")
    assert tree.test.labels.tolist() == [labels[name] for name in sorted(labels)]
