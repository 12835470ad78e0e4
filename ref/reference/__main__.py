"""python -m ref.reference: see cli.py."""

from .cli import main

main()
