"""One module per table or figure of the paper, and results/ as recorded here."""

import ref  # noqa: F401 - sets up signals, and the BLAS threads before NumPy is loaded
