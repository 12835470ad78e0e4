"""One module per table or figure of the paper, and results/ as recorded here."""
