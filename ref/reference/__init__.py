"""Reference outputs of every rule, and the check of other implementations against them.

cli.py is the command; quantities.py says what is in a file; file.py and read.py are the file;
replay.py recomputes it; verify.py compares; slips.py names known mistakes; report.py prints.
"""
