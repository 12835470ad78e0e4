"""A command's module that can be called: `python -m ref.plot RUN`, and `ref.plot(run)` in Python.

Once a module ref/plot.py is imported, `ref.plot` is the module, whatever was called so before; so
the module itself has to be what is called.
"""

import sys
from types import ModuleType


def called_as(name, function):
    """Have the module called `name` do what `function` does when it is called."""
    module = sys.modules[name]

    class Called(ModuleType):
        __call__ = staticmethod(function)

    module.__class__ = Called
    module.__doc__ = f"{module.__doc__}\n\nCalled, it is {function.__name__}: {function.__doc__}"
