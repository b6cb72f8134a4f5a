"""The other codes of a frame: Qwen3-Omni's code predictor, written out for its one shape.

For each frame of 80 ms a small decoder says 15 codes, one after the other: more passes through layers than thinker and
talker need together, of one token each, so that a GPU waits for the next launch most of the time. All frames have the same
shape, so the layers are written here as few, plain steps on buffers that stay, with the library's weights: queries, keys and
values in one product, the two halves of the MLP in another. On a GPU a frame is one CUDA graph, checked against the plain
steps before it is used. Codes equal those of the library (`test_qwen3_omni.py`).

    position   0                1        2        …   15
    reads      talker's state   code 1   code 2       code 15
    says                        code 2   code 3       code 16
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from vivavoce.engines.qwen_omni.sampling import Sampling, choose

logger = logging.getLogger(__name__)

Work = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From the talker's state, the first code and the races of the draws: codes [1, groups], the sum of their embeddings."""


class CodePredictor:
    """The predictor, for one frame at a time."""

    def __init__(self, predictor: Any, first_embedding: Any, *, graphs: bool) -> None:
        """`first_embedding` is the talker's table of first codes. `graphs`: use CUDA graphs where there is a GPU."""
        config, weight = predictor.config, first_embedding.weight
        self._first_embedding = first_embedding
        self._embeddings = list(predictor.model.codec_embedding)
        self._heads = list(predictor.lm_head)
        self._norm = predictor.model.norm.weight
        self._eps = float(config.rms_norm_eps)
        self._groups = len(self._heads) + 1
        self._vocabulary = int(config.vocab_size)
        self._layers: Final = [_Layer(layer, config, self._groups) for layer in predictor.model.layers]
        places = torch.arange(self._groups, device=weight.device)[None]
        cos, sin = predictor.model.rotary_emb(weight[:1, None], places)
        half = sin.shape[-1] // 2
        self._cos = cos[0, :, None]
        self._sin = torch.cat((-sin[0, :, None, :half], sin[0, :, None, half:]), dim=-1)
        self._graphs: dict[Sampling, _Graph] | None = {} if graphs and weight.is_cuda else None

    def frame(self, hidden: Tensor, code: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """All codes of a frame [1, groups], from the talker's state [1, 1, hidden size] and the first of them [1, 1].

        And the sum of their embeddings, [1, 1, hidden size], which the talker reads next.
        """
        shape = (self._groups - 1, self._vocabulary)
        race = torch.empty(shape, dtype=torch.float32, device=hidden.device).exponential_()

        def work(hidden: Tensor, code: Tensor, race: Tensor) -> tuple[Tensor, Tensor]:
            return self._frame(hidden, code, race, sampling)

        if self._graphs is not None and sampling not in self._graphs:
            self._capture(work, hidden, code, race, sampling)
        if self._graphs is not None:
            return self._graphs[sampling](hidden, code, race)
        return work(hidden, code, race)

    def _capture(self, work: Work, hidden: Tensor, code: Tensor, race: Tensor, sampling: Sampling) -> None:
        """Record a graph. If that fails, or makes other codes, there will be none."""
        assert self._graphs is not None
        plain, _ = work(hidden, code, race)
        try:
            graph = _Graph(work, hidden, code, race)
            if torch.equal(graph(hidden, code, race)[0], plain):
                self._graphs[sampling] = graph
                return
            logger.warning("the code predictor's CUDA graph makes other codes: it is not used")
        except RuntimeError:
            logger.warning("the code predictor cannot be a CUDA graph", exc_info=True)
        self._graphs = None

    def _frame(self, hidden: Tensor, code: Tensor, race: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
        total = self._first_embedding(code)
        state, codes, start = torch.cat((hidden, total), dim=1), [code], 0
        for group in range(self._groups - 1):
            end = start + state.shape[1]
            for layer in self._layers:
                state = layer.step(state, start, self._cos[start:end], self._sin[start:end])
            last = functional.rms_norm(state[:, -1], self._norm.shape, self._norm, self._eps)
            codes.append(choose(self._heads[group](last), sampling, race=race[group : group + 1]))
            state, start = self._embeddings[group](codes[-1]), end
            total = total + state
        return torch.cat(codes, dim=1), total


class _Layer:
    """One layer: attention over the frame so far, and an MLP."""

    def __init__(self, layer: Any, config: Any, positions: int) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._head_size = int(attention.head_dim)
        self._queries, self._keys_count = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._scale = float(attention.scaling)
        self._eps = float(config.rms_norm_eps)
        joined = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._qkv = torch.cat([part.weight for part in joined])
        self._qkv_bias = None if attention.q_proj.bias is None else torch.cat([part.bias for part in joined])
        norms = (attention.q_norm.weight.expand(self._queries, -1), attention.k_norm.weight.expand(self._keys_count, -1))
        self._qk_norm = torch.cat(norms)
        self._out = attention.o_proj
        self._before, self._between = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        self._gate_up = torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight))
        self._down, self._activation = mlp.down_proj, mlp.act_fn
        shape = (1, self._keys_count, positions, self._head_size)
        self._keys, self._values = self._qkv.new_zeros(shape), self._qkv.new_zeros(shape)

    def step(self, state: Tensor, start: int, cos: Tensor, sin: Tensor) -> Tensor:
        """States [1, n, hidden size] of positions from `start` on, through the layer."""
        state = state + self._attend(
            functional.rms_norm(state, self._before.shape, self._before, self._eps), start, cos, sin
        )
        normal = functional.rms_norm(state, self._between.shape, self._between, self._eps)
        gate, up = functional.linear(normal, self._gate_up).chunk(2, dim=-1)
        down: Tensor = self._down(self._activation(gate) * up)
        return state + down

    def _attend(self, normal: Tensor, start: int, cos: Tensor, sin: Tensor) -> Tensor:
        count, end = normal.shape[1], start + normal.shape[1]
        heads = functional.linear(normal, self._qkv, self._qkv_bias).view(1, count, -1, self._head_size)
        rotating = self._queries + self._keys_count
        turned = functional.rms_norm(heads[:, :, :rotating], (self._head_size,), eps=self._eps) * self._qk_norm
        turned = turned * cos + turned.roll(self._head_size // 2, -1) * sin
        turned = turned.transpose(1, 2)
        self._keys[:, :, start:end] = turned[:, self._queries :]
        self._values[:, :, start:end] = heads[:, :, rotating:].transpose(1, 2)
        attended = functional.scaled_dot_product_attention(
            turned[:, : self._queries],
            self._keys[:, :, :end],
            self._values[:, :, :end],
            is_causal=count > 1,
            scale=self._scale,
            enable_gqa=True,
        )
        out: Tensor = self._out(attended.transpose(1, 2).reshape(1, count, -1))
        return out


class _Graph:
    """One frame, recorded: a single launch instead of thousands."""

    def __init__(self, work: Work, *inputs: Tensor) -> None:
        self._inputs = [one.clone() for one in inputs]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._codes, self._total = work(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Run it. What it returns is the caller's: the next run writes over its own."""
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._codes.clone(), self._total.clone()
