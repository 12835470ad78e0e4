"""Run folders as ref.train leaves them, written by hand: a config and the errors of each epoch."""

import csv
import json

from runs import paper, records

ERRORS = [50.0, 20.0, 30.0]


def make(path, row="bp", column="mnist-fc", test=ERRORS, train=None, seed=0, data=None, epochs=None,
         digest="0", **changes):
    """A run of a row of Table 1 with today's defaults, but for the hyperparameters in `changes`.

    test, train  errors by epoch (train: half of test)
    """
    rule, schedule = paper.method(row)
    arch = paper.network(column, row)
    setting, source = records.defaults(arch, rule, schedule)
    data = data or paper.DATA[column.split("-")[0]]
    crop, flip = (4, "horizontal") if data == "cifar10" else (0, "none")
    config = {
        "command": "python -m ref.train", "hyperparameters": setting | changes,
        "hyperparameters_from": source,
        "arguments": {"arch": arch, "rule": rule, "seed": seed,
                      "epochs": epochs or len(test) or None, "dtype": "float32",
                      "validation": 0, "hyperparameters": "default"},
        "augmentation": {"crop_padding": crop, "flip": flip},
        "data": {"path": f"/data/{data}.h5", "name": data, "digest": digest},
        "versions": {"commit": "abc", "processor": "a processor"},
        "started": f"2026-01-01T00:00:00+00:00 {path}",
    }
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    if test:
        with open(path / "metrics.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, ["epoch", "train_error", "train_loss", "test_error",
                                           "test_loss", "seconds"])
            writer.writeheader()
            for k, error in enumerate(test):
                writer.writerow({"epoch": k + 1, "train_error": train[k] if train else error / 2,
                                 "train_loss": 1, "test_error": error, "test_loss": 1,
                                 "seconds": 2})
    return path
