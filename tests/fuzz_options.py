"""Odd arguments for every option of every command, which are taken from the commands' parsers."""

import argparse
import importlib

import fuzz_corpus

from ref.common.command import Parser

# no path that leads out of the folder of a case: what is asked for is written
ODD = ["", " ", "x" * 300, "o\udcff", "²", "nan", "inf", "-inf", "-1", "0", "1", "2", "1.5",
       "1e308", "1e-320", "1000000000", "100000000000", "9" * 50, "0x10", "1_0", "/proc/x", "..",
       "../x", "out", "nosuch", "data/tiny.h5", "run", "runs/out", "data", "theirs.h5", "fifo",
       "--", "-", "None", "true", "1,2", ",", "1x1x1", "99999x99999x99999", "\x1b[31m", "%s%n",
       "a\nb", "{}", "bp", "bp,fa", "dense 3, softmax 10", "dense 100000000, softmax 10",
       "conv 3x3x2/1, dense 3, softmax 10", "mnist-fc", "mnist-autoencoder", "cifar-lc", "mnist",
       "fc", "parallel", "cupy", "torch", "localhost:1", "http://localhost:1/x"]
parsers = {}  # {"ref.train": its argparse.ArgumentParser}


class _Found(Exception):
    pass


def load(modules):
    """Load the modules, and take the parsers from them."""
    for name in modules:
        if name == "runs.child":  # ref.train's own, waiting for its stdin
            continue
        module = importlib.import_module(name)
        if name == "ref.reference":
            module = importlib.import_module("ref.reference.cli")
        elif hasattr(module, "__path__"):
            module = importlib.import_module(f"{name}.__main__")
        _take(name, module)


def _take(name, module):
    """The parser whose parse_args the command calls first."""

    def found(self, *_):
        raise _Found(self)

    original, Parser.parse_args = Parser.parse_args, found
    try:
        (getattr(module, "main", None) or module.work)()
    except _Found as caught:
        parser = caught.args[0]
        subs = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if subs:
            parsers.update({f"{name} {key}": sub for key, sub in subs[0].choices.items()})
        else:
            parsers[name] = parser
    finally:
        Parser.parse_args = original


def draw(rng):
    """(command line, what is odd about it)."""
    name = rng.choice(sorted(parsers))
    actions = [a for a in parsers[name]._actions if a.dest not in ("help", argparse.SUPPRESS)]
    base = list(fuzz_corpus.BASES.get(name, []))
    what = []
    for action in rng.sample(actions, min(len(actions), rng.choice([1, 1, 1, 2, 3]))):
        value = value_of(action, rng)
        what.append(f"{action.dest}={value!r}"[:60])
        if not action.option_strings:
            place = position(base)
            base[place:place + 1] = [value]
        elif action.nargs == 0:
            base.append(rng.choice(action.option_strings))
        else:
            option = action.option_strings[-1]
            if option in base:
                at = base.index(option)
                del base[at:at + 2]
            base += [f"{option}={value}"] if rng.random() < 0.5 or value.startswith("-") \
                else [option, value]
    return [*name.split(), *base], ", ".join(what)


def position(line):
    """Where the first positional argument of a base is."""
    for k, word in enumerate(line):
        if not word.startswith("-") and (k == 0 or not line[k - 1].startswith("-")):
            return k
    return 0


def value_of(action, rng):
    """A value that an option may or may not take."""
    if action.choices and rng.random() < 0.5:
        return rng.choice(list(action.choices))
    return rng.choice(ODD)
