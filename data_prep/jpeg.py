"""One image file of ImageNet to pixels, with pillow.

The short side is resized to `resize` and the central `size` x `size` is kept: done in one step, by
resizing the central square whose side is size/resize of the short side. So a very long image takes
no more memory than it does itself, and the crop's place is not rounded to a pixel.
"""

import io
import warnings

import numpy as np

from data_prep.hdf5 import DataError

try:
    from PIL import Image, UnidentifiedImageError
    from PIL import __version__ as PILLOW
except ImportError:
    PILLOW = None


class Undecodable(Exception):
    """A file that is no image this can read; the text is the reason, one line."""


def require_pillow():
    """Raise DataError if pillow is not installed."""
    if PILLOW is None:
        raise DataError('this needs pillow: pip install ".[imagenet]"')


def decode(data, size, resize):
    """Pixels (size, size, 3) uint8, RGB, of a JPEG or PNG file's bytes; size <= resize, pixels.

    What the file is, its content tells, not its name. Grey, CMYK and palette images become RGB by
    pillow's plain formulas; transparency and colour profiles are dropped. The EXIF orientation is
    ignored: the pixels are taken as they lie in the file, as training on ImageNet usually has it.
    The resizing is pillow's bilinear filter, whose support grows with the scale (antialiased).

    Raises Undecodable; MemoryError.
    """
    if not data:
        raise Undecodable("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged EXIF data, which is not used
            # From 89 million pixels on pillow warns, from twice that it refuses: refuse both.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as file:
                if file.mode[0] in "IF":  # pillow would clip these to 255, not scale them
                    raise Undecodable(f"more than 8 bits a pixel (mode {file.mode})")
                image = file.convert("RGB")
    except UnidentifiedImageError as error:  # its text holds an address in memory
        raise Undecodable("not a JPEG or PNG image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Undecodable(f"more than {Image.MAX_IMAGE_PIXELS} pixels") from error
    except (Undecodable, MemoryError):
        raise
    except Exception as error:  # a damaged file brings up nearly any kind within pillow
        reason = str(error).splitlines()[:1] or [type(error).__name__]
        raise Undecodable(reason[0]) from error
    side = min(image.size) * size / resize
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
