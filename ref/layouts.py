"""Parameters in the names and layouts of channels-first programs (PyTorch), and back.

Here images are (H, W, C), there (C, H, W). A weight has the axes of its output, then those of what
it sees of its input; each of the two is turned:

    map      here                               there
    dense    (n_out, n_in), images flattened    (n_out, n_in), images flattened channels first
    conv     (C_out, kh, kw, C_in)              (C_out, C_in, kh, kw)
    local    (H', W', C_out, kh, kw, C_in)      (C_out, H', W', C_in, kh, kw)

and a bias is turned as its units are; one of a dense map is flat there.
"""

from math import prod

# what a symbol is called there, with {l} for the layer
NAMES = {"W": "layer{l}.weight", "b": "layer{l}.bias", "gamma": "norm{l}.weight",
         "beta": "norm{l}.bias", "running_mean": "norm{l}.running_mean",
         "running_var": "norm{l}.running_var", "V": "inverse{l}.weight",
         "c": "inverse{l}.bias", "B": "feedback{l}.weight", "W_z": "auxiliary.weight",
         "b_z": "auxiliary.bias"}


def outward(m, shape, array):
    """An array of the linear map m, as it is laid out there.

    shape  which: the map's attribute "weight_shape", "bias_shape" or "in_bias_shape"
    """
    full, order, there = _layout(m, shape)
    return array.reshape(full).transpose(order).reshape(there)


def inward(m, shape, array):
    """The inverse of `outward`, of an array of shape_there(m, shape)."""
    full, order, _ = _layout(m, shape)
    turned = array.reshape([full[k] for k in order])
    back = sorted(range(len(order)), key=order.__getitem__)
    return turned.transpose(back).reshape(getattr(m, shape))


def shape_there(m, shape):
    """The shape that `outward` gives."""
    return _layout(m, shape)[2]


def _layout(m, shape):
    """(all axes here, their order there, the shape there) of an array."""
    own = getattr(m, shape)
    kind = getattr(m, "kind", "norm")  # batch norm's numbers stay as they are
    if shape == "weight_shape" and kind == "dense":
        full = (*m.out_shape, *m.in_shape)
        parts = [len(m.out_shape), len(m.in_shape)]
        there = own
    elif shape == "weight_shape":
        full, parts = own, [len(own) - 3, 3]
        there = None
    else:
        full, parts = own, [len(own)]
        there = (prod(own),) if kind == "dense" else None
    order, first = [], 0
    for axes in parts:  # the last axis of three, the channels, comes first
        own_axes = list(range(first, first + axes))
        order += [own_axes[-1], *own_axes[:-1]] if axes == 3 else own_axes
        first += axes
    return full, order, there or tuple(full[k] for k in order)
