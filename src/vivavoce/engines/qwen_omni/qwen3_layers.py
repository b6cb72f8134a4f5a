"""Decoder layers of Qwen3-Omni for one token at a time, as few and plain steps, with the library's weights.

All of its decoders are built alike: attention with normed queries and keys, then an MLP, dense or of experts. The library
runs some sixty small operations for a layer, many of them the same for every layer, or nothing at all for one token. One
token is what nearly every step has, and then a GPU computes less than it waits for the next launch. So for one token the
layers run here; for prompts, the library's. The results are the same but for rounding (`test_qwen3_omni.py`).

Products that read the same input are one product. Their weights are joined once, and the library's become views of them: no
memory is spent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Remember = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes new keys and values [1, heads, n, head size]; returns all of them so far."""


def joined(modules: Sequence[Any]) -> Tensor:
    """The weights of linear modules as one; each module's own becomes a view of it."""
    weight = torch.cat([module.weight.data for module in modules])
    start = 0
    for module in modules:
        end = start + module.weight.shape[0]
        module.weight.data = weight[start:end]
        start = end
    return weight


def signed(sin: Tensor) -> Tensor:
    """The sines of a rotary embedding, the first half negated: then the halves need only change places."""
    half = sin.shape[-1] // 2
    return torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)


class Norm:
    """Root mean square norm."""

    def __init__(self, module: Any) -> None:
        self.weight = module.weight
        self._eps = float(module.variance_epsilon)

    def __call__(self, states: Tensor) -> Tensor:
        """States [..., hidden size], normed."""
        return functional.rms_norm(states, self.weight.shape, self.weight, self._eps)


class Attention:
    """Attention with normed queries and keys, and rotary positions."""

    def __init__(self, module: Any, config: Any) -> None:
        self._head_size = int(module.head_dim)
        self._queries, self._pairs = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._scale = float(module.scaling)
        self._eps = float(config.rms_norm_eps)
        parts = (module.q_proj, module.k_proj, module.v_proj)
        self._weight = joined(parts)
        self._bias = None if module.q_proj.bias is None else torch.cat([part.bias for part in parts])
        norms = (module.q_norm.weight.expand(self._queries, -1), module.k_norm.weight.expand(self._pairs, -1))
        self._norms = torch.cat(norms)
        self._out = module.o_proj

    def __call__(self, states: Tensor, cos: Tensor, sin: Tensor, remember: Remember) -> Tensor:
        """States [1, n, hidden size]; `cos` and `signed` `sin` [n, 1, head size]."""
        count = states.shape[1]
        heads = functional.linear(states, self._weight, self._bias).view(1, count, -1, self._head_size)
        rotating = self._queries + self._pairs
        turned = functional.rms_norm(heads[:, :, :rotating], (self._head_size,), eps=self._eps) * self._norms
        turned = (turned * cos + turned.roll(self._head_size // 2, -1) * sin).transpose(1, 2)
        keys, values = remember(turned[:, self._queries :], heads[:, :, rotating:].transpose(1, 2))
        attended = functional.scaled_dot_product_attention(
            turned[:, : self._queries], keys, values, is_causal=count > 1, scale=self._scale, enable_gqa=True
        )
        out: Tensor = self._out(attended.transpose(1, 2).reshape(1, count, -1))
        return out


class Mlp:
    """A gated MLP."""

    def __init__(self, module: Any) -> None:
        self._weight = joined((module.gate_proj, module.up_proj))
        self._down, self._activation = module.down_proj, module.act_fn

    def __call__(self, states: Tensor) -> Tensor:
        """States [1, n, hidden size]."""
        gate, up = functional.linear(states, self._weight).chunk(2, dim=-1)
        down: Tensor = self._down(self._activation(gate) * up)
        return down


class Experts:
    """A mixture of gated MLPs, for one token: the weights of the chosen ones are gathered, and nothing is sorted."""

    def __init__(self, module: Any) -> None:
        self._router = module.gate
        self._normed = bool(getattr(module.gate, "norm_topk_prob", True))
        self._experts = module.experts
        self._shared = Mlp(module.shared_expert) if hasattr(module, "shared_expert") else None
        self._shared_gate = getattr(module, "shared_expert_gate", None)

    def __call__(self, states: Tensor) -> Tensor:
        """States [1, 1, hidden size]."""
        token = states[0, 0]
        odds = functional.linear(token, self._router.weight).softmax(-1, dtype=torch.float)
        shares, chosen = odds.topk(self._router.top_k)
        if self._normed:
            shares = shares / shares.sum()
        gate, up = (self._experts.gate_up_proj[chosen] @ token).chunk(2, dim=-1)
        inner = self._experts.act_fn(gate) * up
        each = torch.bmm(self._experts.down_proj[chosen], inner[:, :, None])[:, :, 0]
        mixed = (shares.to(each.dtype) @ each)[None, None]
        if self._shared is None or self._shared_gate is None:
            return mixed
        return mixed + functional.sigmoid(self._shared_gate(states)) * self._shared(states)


class OneToken:
    """A decoder of the library, for one token at a time behind what is in its KV cache."""

    def __init__(self, decoder: Any, config: Any) -> None:
        self._rotary = decoder.rotary_emb
        self._norm = Norm(decoder.norm)
        self._layers = [
            (
                Norm(layer.input_layernorm),
                Attention(layer.self_attn, config),
                Norm(layer.post_attention_layernorm),
                Experts(layer.mlp) if hasattr(layer.mlp, "experts") else Mlp(layer.mlp),
            )
            for layer in decoder.layers
        ]

    def step(self, embedding: Tensor, cache: Any) -> Tensor:
        """The last hidden state [1, 1, hidden size] for an embedding of that shape; the cache grows by one."""
        place = torch.full((3, 1, 1), int(cache.get_seq_length()), device=embedding.device)
        cos, sin = self._rotary(embedding, place)
        cos, sin, state = cos[0, :, None], signed(sin)[0, :, None], embedding
        for number, (before, attention, between, mlp) in enumerate(self._layers):

            def remember(keys: Tensor, values: Tensor, layer: int = number) -> tuple[Tensor, Tensor]:
                known: tuple[Tensor, Tensor] = cache.update(keys, values, layer)
                return known

            state = state + attention(before(state), cos, sin, remember)
            state = state + mlp(between(state))
        return self._norm(state)
