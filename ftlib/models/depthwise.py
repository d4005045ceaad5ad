"""The weight gradient of depthwise convolutions on small pictures, written out where PyTorch's is slow.

A depthwise convolution has one K x K filter a channel. The gradient of its weight at (i, j) is a sum over examples and
positions of two slices, K² multiplications of whole tensors. oneDNN takes many times as long for it when pictures are
small, as they are near a network's end (docs/LOG.md has the tables): on processors without AVX-512 for any filter up to
4 x 4 positions, half of Lite0's training step at 64 px; with AVX-512, where 3 x 3 is fast, for 5 x 5 filters. There the
25 sums are those of four 3 x 3 filters that overlap. Same mathematics, another order of additions.

Letters: B examples, C channels, H x W positions, K the side of a filter.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# {side of a filter: positions, H · W, up to which oneDNN is slower}, by the processors on which it was measured
SLOWER = {"AVX2": {3: 16, 5: 16}, "AVX512": {5: 144}}.get(torch.backends.cpu.get_cpu_capability(), {})
TINY = 4  # positions, up to which one slice after another is faster than four filters


class Depthwise(nn.Conv2d):
    """A depthwise nn.Conv2d of stride 1 that keeps its size; the same but for how its weight gradient is computed."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        plain = x.ndim != 4 or x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        if plain or x.shape[-2] * x.shape[-1] > SLOWER.get(weight.shape[-1], 0) or not torch.is_grad_enabled():
            return super()._conv_forward(x, weight, bias)
        return _Depthwise.apply(x, weight, self.padding)  # (B, C, H, W)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return F.conv2d(x, weight, None, 1, padding, 1, len(weight))

    @staticmethod
    def backward(ctx, g: Tensor):
        x, weight = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = nn.grad.conv2d_input(x.shape, weight, g, 1, ctx.padding, 1, len(weight))
        if ctx.needs_input_grad[1]:
            twice = torch.is_grad_enabled()  # a gradient of this gradient will be asked for: PyTorch's own has one
            args = (x, weight.shape, g, 1, ctx.padding, 1, len(weight))
            dw = nn.grad.conv2d_weight(*args) if twice else weight_gradient(x, g, weight.shape[-1], ctx.padding)
        return dx, dw, None


def weight_gradient(x: Tensor, g: Tensor, size: int, padding: tuple[int, int]) -> Tensor:
    """(C, 1, K, K): Σ over examples and positions of g · x, x shifted by each (i, j). x and g: (B, C, H, W)."""
    of = by_filters if size == 5 and g.shape[-2] * g.shape[-1] > TINY else by_slices
    return of(x, g, size, padding)


def by_slices(x: Tensor, g: Tensor, size: int, padding: tuple[int, int]) -> Tensor:
    """`weight_gradient`, one position of the filter after the other."""
    (down, across), (height, width) = padding, g.shape[-2:]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, across, across, down, down))  # (B, H + 2p, W + 2p, C): channels run fastest
    g, out = g.permute(0, 2, 3, 1), x.new_empty(size * size, x.shape[-1])
    for i in range(size):
        for j in range(size):
            torch.sum(g * x[:, i : i + height, j : j + width], dim=(0, 1, 2), out=out[i * size + j])
    return out.t().reshape(-1, 1, size, size)


def by_filters(x: Tensor, g: Tensor, size: int, padding: tuple[int, int]) -> Tensor:
    """`weight_gradient` of a 5 x 5 filter, from those of the 3 x 3 filters in its corners, which overlap."""
    (down, across), (height, width), channels = padding, g.shape[-2:], x.shape[1]
    x = F.pad(x, (across, across, down, down))  # (B, C, H + 4, W + 4)
    out = x.new_empty(channels, 1, size, size)
    for i in (0, 2):
        for j in (0, 2):
            part = x[:, :, i : i + height + 2, j : j + width + 2].contiguous(memory_format=torch.channels_last)
            corner = nn.grad.conv2d_weight(part, (channels, 1, 3, 3), g, groups=channels)
            out[:, :, i : i + 3, j : j + 3] = corner
    return out


def use_fast_depthwise(net: nn.Module) -> nn.Module:
    """Let the network's plain depthwise convolutions of stride 1 be `Depthwise`: its tensors stay what they are."""
    for module in net.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels == module.out_channels > 1:
            keeps = module.padding == tuple(k // 2 for k in module.kernel_size) and module.kernel_size[0] % 2
            square = module.kernel_size[0] == module.kernel_size[1] and module.padding_mode == "zeros"
            if keeps and square and module.stride == module.dilation == (1, 1) and module.bias is None:
                module.__class__ = Depthwise
    return net
