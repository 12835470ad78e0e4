"""What every command of ref/, data_prep/ and runs/ shares, and nothing of the mathematics.

    command.py   arguments, one-line errors, signals, exit statuses
    files.py     a file is written as a whole or not at all; locks
    version.py   version and git commit
    hdf5.py      opening HDF5 files and reading their attributes, whoever wrote them
"""
