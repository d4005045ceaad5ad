"""The weight gradient of depthwise convolutions on small pictures, written out where PyTorch's is slow.

A depthwise convolution has one K x K filter a channel. The gradient of its weight at (i, j) is a sum over examples and
positions of two slices, K² multiplications of whole tensors. On processors without AVX-512, most laptops among them,
oneDNN takes eight times as long for it when pictures are at most 4 x 4, as they are near a network's end: half of
Lite0's training step at 64 px (docs/LOG.md has the table). Same mathematics, another order of additions.

Letters: B examples, C channels, H x W positions, K the side of a filter.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL = 16  # positions, H · W: from 5 x 5 on, oneDNN is as fast
SLOW = torch.backends.cpu.get_cpu_capability() == "AVX2"  # where it was measured; with AVX-512 oneDNN is fast


class Depthwise(nn.Conv2d):
    """A depthwise nn.Conv2d of stride 1 that keeps its size; the same but for how its weight gradient is computed."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        plain = x.ndim != 4 or x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        if plain or not SLOW or x.shape[-2] * x.shape[-1] > SMALL or not torch.is_grad_enabled():
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
    (down, across), (height, width) = padding, g.shape[-2:]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, across, across, down, down))  # (B, H + 2p, W + 2p, C): channels run fastest
    g, out = g.permute(0, 2, 3, 1), x.new_empty(size * size, x.shape[-1])
    for i in range(size):
        for j in range(size):
            torch.sum(g * x[:, i : i + height, j : j + width], dim=(0, 1, 2), out=out[i * size + j])
    return out.t().reshape(-1, 1, size, size)


def use_fast_depthwise(net: nn.Module) -> nn.Module:
    """Let the network's plain depthwise convolutions of stride 1 be `Depthwise`: its tensors stay what they are."""
    for module in net.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels == module.out_channels > 1:
            keeps = module.padding == tuple(k // 2 for k in module.kernel_size) and module.kernel_size[0] % 2
            square = module.kernel_size[0] == module.kernel_size[1] and module.padding_mode == "zeros"
            if keeps and square and module.stride == module.dilation == (1, 1) and module.bias is None:
                module.__class__ = Depthwise
    return net
