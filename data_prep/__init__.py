"""Raw data sets in, one checked HDF5 file out.

One module per data set, each a command (`python -m data_prep.mnist`, `.cifar10`, `.imagenet`,
`.digits`): it fetches or reads the raw files, checks them, and writes the HDF5 form that is
documented once, in `data_prep/hdf5.py`. Shared pieces: `hdf5` (the form and its writer), `download`
(mirrors, resume, checksums), `command` (how a command reports and ends), `styles` (the strokes of
digits), and ImageNet's `imagenet_files`, `jpeg`, `shards` and `workers`. Nothing here knows of
`ref`, which reads the files.
"""
