"""Data of one's own, from NumPy arrays, as one HDF5 file.

    from data_prep import arrays
    arrays.write("data/mine.h5", x, y, test=(x_test, y_test))

Then `python -m ref.train --data mine ...`. The form is data_prep/hdf5.py's.
"""

from pathlib import Path

from data_prep import hdf5
from ref.common.examples import DataError, images_and_labels, pair, same_examples


def write(path, x, y, *, test, name=None, classes=None, seed=0):
    """Write examples to train on, (x, y), and to test on to `path`: all of it, or nothing.

    x        one example a row, of one of these shapes:
                 (n, H, W, C)  images
                 (n, H, W)     images of one channel
                 (n, d), (n,)  features, kept as images of 1 x 1 pixel with d channels
                 more axes     the same, taken flattened: the last axis fastest
             uint8: kept, and divided by 255 when they are read, so that they are 0 to 1.
             Floats of any width: kept as float32, and read as they are. Nothing is rescaled: you
             may want features of mean 0 and standard deviation 1.
    y        (n,) integers, the labels, from 0
    test     (x, y) of the test examples, of the same type and the same shape but for n
    name     str, what the data set is called in results; by default the file's name without its
             ending. `cifar10` gets crops and flips by default in ref.train
    classes  list of str, the name of each label; by default "0", "1", ... to the largest label
    seed     int >= 0, of the order on disk

    Raises DataError, one line that says what is wrong with which array, or why the file can't be
    written.
    """
    x_test, y_test = pair("test", test)
    train_images, train_labels = images_and_labels("train", x, y)
    test_images, test_labels = images_and_labels("test", x_test, y_test)
    same_examples(x, x_test, train_images, test_images)
    if train_labels.min() == train_labels.max():
        raise DataError(f"train: every label of y is {train_labels[0]}: expected examples of at "
                        "least two classes")
    if classes is None:
        if (most := int(test_labels.max())) > train_labels.max():
            raise DataError(f"test: y holds the label {most}, but the largest of train is "
                            f"{train_labels.max()}: if it is right, name all of them with classes")
        classes = [str(k) for k in range(int(train_labels.max()) + 1)]
    elif isinstance(classes, str) or not all(isinstance(each, str) for each in classes):
        raise DataError("classes: expected a list of texts, the name of each label")
    if not 0 <= seed < 1 << 128:
        raise DataError(f"seed: {seed}, expected 0 to 2^128 - 1")
    hdf5.write(path, (train_images, train_labels), (test_images, test_labels),
               name=name or Path(path).stem, classes=list(classes), seed=int(seed),
               source="arrays in memory", command="data_prep.arrays.write")
