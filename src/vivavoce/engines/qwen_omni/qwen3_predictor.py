"""The other codes of a frame: Qwen3-Omni's code predictor, written out for its one shape.

For each frame of 80 ms a small decoder says 15 codes, one after the other: more passes through layers than thinker and
talker need together, of one token each (`qwen3_layers.py`). All frames have the same shape, so their keys and values lie in
buffers that stay, and on a GPU a frame is one CUDA graph, checked against the plain steps before it is used. Codes equal
those of the library (`test_qwen3_omni.py`).

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

from vivavoce.engines.qwen_omni.qwen3_layers import Attention, Mlp, Norm, signed
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
        self._norm = Norm(predictor.model.norm)
        self._groups = len(self._heads) + 1
        self._vocabulary = int(config.vocab_size)
        self._layers: Final = [_Layer(layer, config, self._groups) for layer in predictor.model.layers]
        places = torch.arange(self._groups, device=weight.device)[None]
        cos, sin = predictor.model.rotary_emb(weight[:1, None], places)
        self._cos, self._sin = cos[0, :, None], signed(sin)[0, :, None]
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
            last = self._norm(state[:, -1])
            codes.append(choose(self._heads[group](last), sampling, race=race[group : group + 1]))
            state, start = self._embeddings[group](codes[-1]), end
            total = total + state
        return torch.cat(codes, dim=1), total


class _Layer:
    """One layer: attention over the frame so far, and an MLP."""

    def __init__(self, layer: Any, config: Any, positions: int) -> None:
        self._before, self._between = Norm(layer.input_layernorm), Norm(layer.post_attention_layernorm)
        self._attention, self._mlp = Attention(layer.self_attn, config), Mlp(layer.mlp)
        shape = (1, int(config.num_key_value_heads), positions, int(layer.self_attn.head_dim))
        self._keys, self._values = self._before.weight.new_zeros(shape), self._before.weight.new_zeros(shape)

    def step(self, state: Tensor, start: int, cos: Tensor, sin: Tensor) -> Tensor:
        """States [1, n, hidden size] of positions from `start` on, through the layer."""
        end = start + state.shape[1]

        def remember(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            self._keys[:, :, start:end] = keys
            self._values[:, :, start:end] = values
            return self._keys[:, :, :end], self._values[:, :, :end]

        state = state + self._attention(self._before(state), cos, sin, remember)
        return state + self._mlp(self._between(state))


class _Graph:
    """One frame, recorded: a single launch instead of thousands."""

    def __init__(self, work: Work, *inputs: Tensor) -> None:
        self._inputs = [one.clone() for one in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs[0].device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):  # libraries set themselves up at the first runs, which may not be recorded
                for _ in range(3):
                    work(*self._inputs)
            torch.cuda.current_stream().wait_stream(side)
            # Other threads (a transcriber's, say) may use the GPU meanwhile.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._codes, self._total = work(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Run it. What it returns is the caller's: the next run writes over its own."""
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._codes.clone(), self._total.clone()
