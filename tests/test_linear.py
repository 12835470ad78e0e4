"""The three operations of every linear map: W x, Wᵀ y and outer(x, y)."""

import re

import naive
import numpy as np
import pytest
from checks import assert_close, assert_same_bits

from ref.linear import Convolution, Dense, LocallyConnected

N = 3

SIZES = [  # in_shape, channels, kernel, stride
    ((4, 4, 2), 3, (3, 3), 1),
    ((4, 4, 2), 3, (3, 3), 2),  # an even size: padded below and on the right only
    ((5, 5, 1), 2, (3, 3), 2),
    ((5, 4, 2), 3, (3, 3), 2),
    ((4, 7, 3), 2, (3, 3), 3),
    ((6, 5, 2), 1, (5, 5), 1),
    ((6, 5, 2), 2, (5, 5), 2),
    ((7, 3, 1), 3, (5, 5), 3),
    ((4, 5, 2), 3, (2, 2), 1),  # an even kernel
    ((5, 4, 2), 3, (2, 2), 2),
    ((5, 6, 2), 2, (4, 4), 3),
    ((5, 4, 2), 3, (3, 2), 1),
    ((4, 5, 1), 2, (1, 3), 2),
    ((4, 5, 2), 3, (1, 1), 1),
    ((5, 4, 2), 3, (1, 1), 2),  # strides that leave pixels out
    ((7, 6, 1), 2, (2, 2), 3),
    ((2, 1, 2), 2, (5, 5), 1),  # a kernel that is larger than the image
    ((3, 2, 1), 2, (5, 4), 2),
    ((1, 1, 3), 2, (3, 3), 2),
    ((9, 9, 1), 1, (9, 9), 4),
]

DENSE = [
    Dense((5,), (3,)),
    Dense((1,), (4,)),
    Dense((4,), (1,)),
    Dense((4, 3, 2), (5,)),
    Dense((5,), (2, 3, 2)),
    Dense((2, 3, 1), (3, 2, 2)),
]
MAPS = DENSE + [kind(*size) for kind in (LocallyConnected, Convolution) for size in SIZES]

every_map = pytest.mark.parametrize("m", MAPS, ids=str)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def arrays(m, seed=0):
    """W, x, y of the map, normal."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=m.weight_shape), rng.normal(size=(N, *m.in_shape)),
            rng.normal(size=(N, *m.out_shape)))


@every_map
def test_adjoint(m):
    """⟨y, W x⟩ = ⟨Wᵀ y, x⟩ = ⟨outer(x, y), W⟩."""
    W, x, y = arrays(m)
    expected = np.vdot(y, m.forward(W, x))
    assert_close(np.vdot(m.transpose(W, y), x), expected)
    assert_close(np.vdot(m.outer(x, y), W), expected)


@every_map
def test_shapes(m):
    W, x, y = arrays(m)
    assert m.forward(W, x).shape == (N, *m.out_shape)
    assert m.transpose(W, y).shape == (N, *m.in_shape)
    assert m.outer(x, y).shape == m.weight_shape


@every_map
def test_linear_in_each_argument(m):
    W, x, y = arrays(m)
    U, u, v = arrays(m, seed=1)

    def mix(p, q):
        return 2 * p - 3 * q

    assert_close(m.forward(mix(W, U), x), mix(m.forward(W, x), m.forward(U, x)))
    assert_close(m.forward(W, mix(x, u)), mix(m.forward(W, x), m.forward(W, u)))
    assert_close(m.transpose(mix(W, U), y), mix(m.transpose(W, y), m.transpose(U, y)))
    assert_close(m.transpose(W, mix(y, v)), mix(m.transpose(W, y), m.transpose(W, v)))
    assert_close(m.outer(mix(x, u), y), mix(m.outer(x, y), m.outer(u, y)))
    assert_close(m.outer(x, mix(y, v)), mix(m.outer(x, y), m.outer(x, v)))


@every_map
def test_is_its_own_explicit_matrix(m):
    """The list of connections of tests/naive.py, written out as a dense matrix."""
    W, x, y = arrays(m)
    M = naive.matrix(m, W)
    assert_close(m.forward(W, x).reshape(N, -1), x.reshape(N, -1) @ M.T)
    assert_close(m.transpose(W, y).reshape(N, -1), y.reshape(N, -1) @ M)


@every_map
def test_outer_is_the_sum_of_the_naive_products(m):
    _, x, y = arrays(m)
    assert_close(m.outer(x, y), sum(naive.outer(m, x[n], y[n]) for n in range(N)))


@every_map
def test_examples_do_not_mix(m):
    """Each row of the batch is what the example gives alone."""
    W, x, y = arrays(m)
    for n in range(N):
        assert_close(m.forward(W, x)[n], m.forward(W, x[n:n + 1])[0])
        assert_close(m.transpose(W, y)[n], m.transpose(W, y[n:n + 1])[0])


@every_map
def test_every_weight_has_its_place(m):
    """Connections read all of W; those that no image reaches lie over padding alone."""
    used = {w for _, _, w in naive.connections(m)}
    assert used <= set(np.ndindex(m.weight_shape))
    G = m.outer(np.ones((1, *m.in_shape)), np.ones((1, *m.out_shape)))
    assert {w for w in np.ndindex(G.shape) if G[w]} == used


@every_map
def test_counts(m):
    """fan_in: weights of one output unit; multiply_adds: those of all, padding included."""
    into, out_of = m.in_shape, m.out_shape
    if m.kind != "dense":
        into, out_of = (*m.kernel, m.in_shape[2]), (*m.kernel, m.channels)
    assert m.fan_in == np.prod(into)
    assert m.fan_out == np.prod(out_of)
    outputs = np.prod(m.out_shape)
    assert m.multiply_adds == m.fan_in * outputs
    shared = m.kind == "conv"
    assert np.prod(m.weight_shape) == m.fan_in * (m.channels if shared else outputs)
    assert m.bias_shape == (m.out_shape[-1:] if shared else m.out_shape)
    assert m.in_bias_shape == (m.in_shape[-1:] if shared else m.in_shape)


@every_map
def test_leaves_its_input_alone_and_keeps_float32(m):
    W, x, y = (v.astype(np.float32) for v in arrays(m))
    kept = [v.copy() for v in (W, x, y)]
    results = m.forward(W, x), m.transpose(W, y), m.outer(x, y)
    for before, after in zip(kept, (W, x, y), strict=True):
        assert_same_bits(after, before)
    for result in results:
        assert result.dtype == np.float32
        assert not any(np.shares_memory(result, v) for v in (W, x, y))


@every_map
def test_takes_arrays_that_are_not_contiguous(m):
    """Every second example, and an array turned inside out in memory."""
    W, x, y = arrays(m)
    wide_x, wide_y = np.repeat(x, 2, axis=0), np.asfortranarray(y)
    assert_close(m.forward(W, wide_x[::2]), m.forward(W, x))
    assert_close(m.transpose(np.asfortranarray(W), wide_y), m.transpose(W, y))
    assert_close(m.outer(wide_x[::2], wide_y), m.outer(x, y))


# ---- locally-connected maps and convolutions -----------------------------------------------------


@every_size
def test_stride_1_keeps_the_size_and_others_round_up(size):
    (H, W, _), channels, _, stride = size
    expected = (-(-H // stride), -(-W // stride), channels)
    assert LocallyConnected(*size).out_shape == Convolution(*size).out_shape == expected


@every_size
def test_local_with_tied_weights_is_conv(size):
    """The gradient of the tied weights is the sum over positions of the untied."""
    local, conv = LocallyConnected(*size), Convolution(*size)
    W, x, y = arrays(conv)
    tied = np.broadcast_to(W, local.weight_shape)
    assert_close(local.forward(tied, x), conv.forward(W, x))
    assert_close(local.transpose(tied, y), conv.transpose(W, y))
    assert_close(local.outer(x, y).sum(axis=(0, 1)), conv.outer(x, y))


def test_local_weights_are_not_shared():
    """Changing one position's weights changes that position's output alone."""
    m = LocallyConnected((4, 4, 2), 3, (3, 3), 1)
    W, x, _ = arrays(m)
    changed = W.copy()
    changed[1, 2] += 1
    difference = m.forward(changed, x) - m.forward(W, x)
    assert {k[1:3] for k in zip(*np.nonzero(difference), strict=True)} == {(1, 2)}


@pytest.mark.parametrize("kind", [LocallyConnected, Convolution])
def test_an_even_image_is_padded_below_and_right(kind):
    """A 3x3 kernel of ones with stride 2 on 4x4 pixels: written out."""
    m = kind((4, 4, 1), 1, (3, 3), 2)
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    image = x[0, :, :, 0]
    expected = [[image[:3, :3].sum(), image[:3, 2:].sum()],
                [image[2:, :3].sum(), image[2:, 2:].sum()]]
    assert m.forward(np.ones(m.weight_shape), x)[0, :, :, 0].tolist() == expected


@pytest.mark.parametrize("kind", [LocallyConnected, Convolution])
def test_the_kernel_is_not_flipped(kind):
    """A weight above the centre moves the image down: y[i, j] = x[i - 1, j]."""
    m = kind((3, 3, 1), 1, (3, 3), 1)
    W = np.zeros(m.weight_shape)
    W[..., 0, 1, :] = 1
    x = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    assert m.forward(W, x)[0, :, :, 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("kind", [LocallyConnected, Convolution])
@pytest.mark.parametrize("size", SIZES[:12], ids=str)
def test_wider_map_holds_the_narrower(kind, size):
    """... which is the wider one with a rim of zero weights. (Where the narrower one leaves pixels
    out and has no padding to enlarge, the wider one's extra padding need not be on both sides.)
    """
    m = kind(*size)
    wide = m.wider()
    assert wide.kernel == tuple(k + 2 for k in m.kernel)
    assert (wide.in_shape, wide.out_shape) == (m.in_shape, m.out_shape)
    W, x, _ = arrays(m)
    rim = [(1, 1) if axis in (W.ndim - 3, W.ndim - 2) else (0, 0) for axis in range(W.ndim)]
    assert_close(wide.forward(np.pad(W, rim), x), m.forward(W, x))


@pytest.mark.parametrize("m", DENSE, ids=str)
def test_a_dense_map_is_as_wide_as_can_be(m):
    assert m.wider() == m


@pytest.mark.parametrize("kind", [LocallyConnected, Convolution])
def test_other_shapes_are_refused(kind):
    """Nothing is read beside an array, and no layout is taken for another."""
    m = kind((6, 5, 2), 4, (3, 3), 2, pad=0)
    W, x, y = (np.zeros(shape) for shape in (m.weight_shape, (3, *m.in_shape), (3, *m.out_shape)))
    small, turned = x[:, :4], x.swapaxes(1, 2)
    for call, named in ((lambda: m.forward(W, small), "x is (4, 5, 2), expected (6, 5, 2)"),
                        (lambda: m.forward(W, turned), "x is (5, 6, 2)"),
                        (lambda: m.forward(W.swapaxes(-1, -2), x), "W is"),
                        (lambda: m.transpose(W.swapaxes(-1, -2), y), "W is"),
                        (lambda: m.transpose(W, y[:, :1]), "y is"),
                        (lambda: m.outer(x, y[..., :1]), "y is"),
                        (lambda: m.outer(small, y), "x is")):
        with pytest.raises(ValueError, match=re.escape(named)):
            call()


@pytest.mark.parametrize("kind", [LocallyConnected, Convolution])
@pytest.mark.parametrize(("sizes", "named"), [
    (((28, 28), 3, (3, 3)), "in_shape is (28, 28), expected (H, W, C)"),
    (((28, 0, 1), 3, (3, 3)), "in_shape is (28, 0, 1)"),
    (((28, 28, 1), 0, (3, 3)), "channels is 0, expected a number of at least 1"),
    (((28, 28, 1), 3, (3,)), "kernel is (3,), expected (height, width)"),
    (((28, 28, 1), 3, (3, 3), 0), "stride is 0"),
    (((28, 28, 1), 3, (3, 3), 1, -1), "pad is -1, expected at least 0"),
    (((4, 4, 1), 3, (7, 5), 1, 1), "the kernel (7, 5) is larger than the image (4, 4, 1)")])
def test_sizes_that_no_map_can_have(kind, sizes, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        kind(*sizes)
