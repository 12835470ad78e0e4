"""What every command of ref/, data_prep/ and runs/ shares, and nothing of the mathematics.

    early.py     signals while a command is being loaded
    streams.py   stdout and stderr, whatever they are
    command.py   arguments, one-line errors, signals, exit statuses
    names.py     names of files made of strangers' words
    reading.py   what is read is a regular file, and not too large
    files.py     a file is written as a whole or not at all; locks
    version.py   version and git commit
    schema.py    JSON and CSV files, held to a schema
    global_heap.py  a damage of HDF5 files that HDF5 itself would read for ever
    hdf5.py      opening HDF5 files and reading their attributes, whoever wrote them
    untrusted.py the arrays in them, looked at before they are read
"""
