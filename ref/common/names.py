"""Names of files made of words that strangers gave.

What a data set is called, or a run's learning rate in its config.json, is anybody's text. It must
not lead out of the folder that a command writes to. (On a screen: streams.printable.)
"""

import hashlib
import os
import re

LONGEST = 200  # bytes, so that an ending and a number still fit (file systems take 255)


def file_name(text, longest=LONGEST):
    """The name of a file or folder for a text: one part of a path, never "..", not hidden.

    longest  in bytes; a name that was changed is a little longer

    A text that will do stays as it is. In any other, what is no letter, digit or one of `._=+,-`
    becomes "-", and a few letters of its digest tell it from others that look the same then.
    """
    text = str(text)
    made = re.sub(r"[^\w.=+,-]", "-", text).lstrip(".")
    short = made
    while len(os.fsencode(short.encode("utf-8", "replace"))) > longest:
        short = short[:-1]
    if short == text and text:
        return text
    return f"{short}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:6]}"
