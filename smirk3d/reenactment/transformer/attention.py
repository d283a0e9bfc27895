"""Layers of the transformer: attention of a set on itself, or of queries on a set."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class AttentionLayer(nn.Module):
    """Attention and a perceptron, each after a normalisation and added to its input.

    Source: Xiong et al., "On Layer Normalization in the Transformer Architecture" (ICML 2020), for the order.

    Args:
        width: Numbers of an element.
        heads: Heads; a divisor of `width`.
        hidden: Width inside of the perceptron.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.set_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def keys_values(self, elements: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (B, heads, N, width / heads) of a set (B, N, width)."""
        key, value = self.key_value(self.set_norm(elements)).chunk(2, dim=2)
        return self._by_head(key), self._by_head(value)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the elements after the layer.

        Args:
            x: (B, Q, width).
            keys_values: Of the set that is read, see `keys_values`; None for `x` itself.
        """
        key, value = self.keys_values(x) if keys_values is None else keys_values
        read = scaled_dot_product_attention(self._by_head(self.query(self.norm(x))), key, value)
        x = x + self.out(read.transpose(1, 2).flatten(2))
        return x + self.mlp(x)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
