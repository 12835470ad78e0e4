"""Raw data sets in, one checked HDF5 file out.

One module per data set, each a command (`python -m data_prep.mnist`, `.cifar10`, `.imagenet`,
`.digits`): it fetches or reads the raw files, checks them, and writes the HDF5 form that is
documented once, in `data_prep/hdf5.py`. `arrays` writes it from NumPy arrays. Shared pieces: `hdf5`
(the form and its writer), `download` (mirrors, resume, checksums), `kinds` (what a file is that is
not what was expected), `emnist` (EMNIST's names and classes), `styles` (the strokes of digits), and
ImageNet's `imagenet_files`, `imagenet_labels`, `jpeg`, `shards` and `workers`. Of `ref`, which
reads the files, nothing here knows more than `ref.common`, what all commands share.
"""

import ref  # noqa: F401 - what a signal does while a command is loaded
