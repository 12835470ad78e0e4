"""What the fuzz test changes: a small example of every file that a command reads, and who reads it.

    build(folder)        makes them, with the commands themselves
    BASES                {command: arguments with which it does a little work}
    READERS              [(pattern of files, command lines that read them)]

Every command line is one that ends well on what is not changed.
"""

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np

NET = ["--arch", "dense 4, softmax 10"]
TINY = ["--data", "data/tiny.h5"]
TRAIN = ["ref.train", "--rule", "sdtp", *NET, *TINY]
RESUME = ["ref.train", "--resume", "run", "--epochs", "3"]
SEARCH = ["runs.search", "--rule", "bp", *NET, *TINY, "--configs", "1", "--epochs", "1",
          "--validation", "10"]
TABLE = ["runs.table1", *TINY, "--rows", "bp", "--epochs", "1"]
WRITE = ["ref.reference", "write", "--rule", "sdtp", "--arch", "dense 4, softmax 3"]
IDX = ["data_prep.mnist", "--source", "idx", "--name", "mine"]
CIFAR = ["data_prep.cifar10", "--source", "cifar.tar.gz", "--out", "out/cifar.h5"]
IMAGENET = ["data_prep.imagenet", "--source", "imagenet", "--labels", "labels.txt", "--size", "8",
            "--resize", "9", "--workers", "1", "--out", "out/imagenet.h5"]

BASES = {
    "ref": [],
    "ref.train": [*TRAIN[1:], "--epochs", "1"],
    "ref.evaluate": ["run"],
    "ref.watch": ["run", "--once"],
    "ref.architectures": ["--arch", "mnist-fc"],
    "ref.reference write": ["out/new.h5", *WRITE[2:], "--in-shape", "3x3x1", "--steps", "2"],
    "ref.reference verify": ["theirs.h5"],
    "data_prep.mnist": IDX[1:],
    "data_prep.cifar10": CIFAR[1:],
    "data_prep.digits": ["--out", "out/digits.h5", "--n-train", "20", "--n-test", "10"],
    "data_prep.imagenet": IMAGENET[1:],
    "runs.bench": [*NET, "--turns", "1", "--steps", "1", "--seconds", "0.01", "--warm-up", "0",
                   "--busy"],
    "runs.collect": ["run"],
    "runs.extrapolate": ["run"],
    "runs.figure4": [*TINY, "--aux", "0", "--epochs", "1"],
    "runs.figure6_7": [*TINY, "--epochs", "1"],
    "runs.inverses": [*TINY, "--epochs", "1", "--seeds", "0", "--examples", "1"],
    "runs.search": SEARCH[1:],
    "runs.table1": TABLE[1:],
}
# what is written to by those of the defaults
PLACES = ("runs/out", "data", "out", "run")

READERS = [
    ("data/tiny.h5", [[*TRAIN, "--epochs", "1"], ["ref.evaluate", "run"], RESUME,
                      ["ref.evaluate", "run", *TINY], SEARCH, TABLE,
                      [*WRITE[:-1], "dense 4, softmax 10", *TINY, "out/x.h5"]]),
    ("run/config.json", [["ref.evaluate", "run"], RESUME, ["ref.watch", "run", "--once"],
                         ["runs.collect", "run"], ["python", "load"]]),
    ("run/metrics.csv", [RESUME, ["ref.watch", "run", "--once"], ["runs.collect", "run"],
                         ["python", "load"]]),
    ("run/parameters.h5", [["ref.evaluate", "run"], ["python", "load"]]),
    ("run/checkpoint*.h5", [RESUME]),
    ("runs/results/mnist-fc_bp/*", [["runs.report"], ["runs.figure8"], TABLE,
                                    ["runs.collect", "run"]]),
    ("runs/out/results/mnist-fc_fa/*", [["runs.report"], ["runs.figure8"],
                                        ["runs.collect", "run"]]),
    ("runs/results/search_*/*", [["runs.figure5"], ["runs.report"]]),
    ("runs/results/*.json", [["runs.report"], ["runs.report", "--out", "runs/results"]]),
    ("runs/out/work/search_*/config000/*", [SEARCH]),
    ("runs/out/work/mnist-fc*/*", [TABLE]),
    ("theirs.h5", [["ref.reference", "verify", "theirs.h5"], ["python", "verify"],
                   ["ref.reference", "verify", "theirs.h5", "--json"],
                   ["ref.reference", "verify", "other.h5", "--against", "theirs.h5"]]),
    ("idx/*", [IDX]),
    ("cifar.tar.gz", [CIFAR]),
    ("imagenet/*/*/*", [IMAGENET]),
    ("labels.txt", [IMAGENET]),
]
RARE = {"cifar.tar.gz": 0.15}  # it takes seconds: 184 MB unzipped

PYTHON = {  # the same from Python; its exceptions are UserErrors
    "load": "import numpy as np, ref; f = ref.load('run');"
            " f.predict(np.zeros((2, *f.net.shape(0)), 'u1'))",
    "verify": "import ref; ref.verify('theirs.h5')",
}


def build(folder, run):
    """Make everything in the folder; run(line) carries out a command line there, or raises."""
    from run_folders import make

    from data_prep import arrays

    rng = np.random.default_rng(0)
    for name in ("data", "out", "idx"):
        (folder / name).mkdir()
    images = rng.integers(0, 256, (80, 28, 28, 1), dtype=np.uint8)
    labels = np.arange(80) % 10
    arrays.write(folder / "data/tiny.h5", images[:60], labels[:60], test=(images[60:], labels[60:]))
    run([*TRAIN, "--epochs", "2", "--out", "run"])
    run([*WRITE, "theirs.h5", "--in-shape", "3x3x1", "--steps", "2"])
    run([*WRITE, "other.h5", "--in-shape", "3x3x1", "--steps", "2"])
    make(folder / "runs/results/mnist-fc_bp")
    make(folder / "runs/results/mnist-autoencoder_bp", column="mnist-autoencoder")
    make(folder / "runs/results/mnist-fc_sdtp-parallel", row="sdtp-parallel")
    make(folder / "runs/out/results/mnist-fc_fa", row="fa")
    figure4 = {"network": "mnist-fc", "data": "mnist", "schedule": "parallel", "epochs": 2}
    figure7 = {"parameters": "ours"}
    for name, about in (("figure4_mnist-fc-parallel", figure4), ("figure7", figure7)):
        (folder / f"runs/results/{name}.json").write_text(json.dumps(about))
    run(SEARCH)
    (found,) = (folder / "runs/out/results").glob("search_*")
    found.rename(folder / "runs/results" / found.name)
    run(TABLE)
    for part, n in (("train", 30), ("t10k", 10)):
        header = struct.pack(">HBBIII", 0, 8, 3, n, 5, 4)
        (folder / f"idx/{part}-images-idx3-ubyte").write_bytes(header + rng.bytes(n * 20))
        (folder / f"idx/{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">HBBI", 0, 8, 1, n) + bytes(k % 3 for k in range(n))))
    with tarfile.open(folder / "cifar.tar.gz", "w:gz", compresslevel=1) as archive:
        content = (b"\3" + bytes(3072)) * 10000
        for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    imagenet(folder, rng)


def imagenet(folder, rng):
    """Four pictures in ImageNet's layout, with a flat val/ and its labels."""
    try:
        from PIL import Image
    except ImportError:
        return
    for place in ("train/n01/a.JPEG", "train/n02/b.JPEG", "val/c.JPEG", "val/d.JPEG"):
        path = Path(folder, "imagenet", place)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(path)
    (folder / "labels.txt").write_text("c.JPEG n01\nd.JPEG n02\n")
