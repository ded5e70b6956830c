"""The predictor, one generated bar at a time: keys and values of a context once per series, shared by its paths.

Each attention layer has one buffer, allocated once. A series' context comes first, then the generated bars, step after
step and within a step path after path. One fused attention call then serves all paths of a series: the queries of its
G paths look at the same keys, and a mask keeps each from the generated bars of the others. Nothing is copied or grows.

Shapes: B series, G paths decoded together, S steps, C context bars, Q queries, T slots, D model width.
"""

from typing import Literal, cast

import torch
from torch import Tensor

from kronos_lab.forecasting.key_values import ExtendPaths, KeyValueBuffer, StoreContext, additive, series_at_once
from kronos_lab.models.layers import Rotation, TransformerBlock
from kronos_lab.models.predictor import Kronos

DependencyRope = Literal["published", "aligned"]


class PathDecoder:
    """Buffers of one window of B series with G paths each, and the passes over them.

    First `encode_context`, then for each bundle of paths `restart`, and `extend` once per generated bar. A bundle
    overwrites the generated bars of the one before: the contexts are encoded and stored once for all of them.

    Args:
        predictor: in evaluation mode.
        lengths_B: bars of each context, int64 on the CPU. Contexts are padded at the end to the longest: what comes
            later is never seen, so their bars count from 0 without padding in front.
        paths: G, those of the largest bundle.
        steps: generated bars stored behind the context, at the most.
        dependency_rope: in the dependency-aware layer, "published" turns neither queries nor keys by their positions,
            as the published checkpoints were always sampled; "aligned" turns both, as in training.
    """

    def __init__(
        self, predictor: Kronos, lengths_B: Tensor, paths: int, steps: int, dependency_rope: DependencyRope
    ) -> None:
        self.predictor = predictor
        self.paths = paths
        self.context = int(lengths_B.max())
        series, capacity = len(lengths_B), self.context + paths * steps
        blocks = [cast(TransformerBlock, block).self_attn for block in predictor.transformer]
        self._blocks = [KeyValueBuffer(attention, series, capacity) for attention in blocks]
        self._dependency = KeyValueBuffer(predictor.dep_layer.cross_attn, series, capacity)
        self._block_rotation = blocks[0].rotary(self.context + steps)
        rotary = predictor.dep_layer.cross_attn.rotary
        self._dependency_rotation = rotary(self.context + steps) if dependency_rope == "aligned" else None
        mixed = bool((lengths_B != self.context).any())
        self._lengths_B = lengths_B.to(predictor.norm.weight.device) if mixed else None
        self._mask_B1GT = self._single_step_mask()
        self._last_h_BD = predictor.norm.weight.new_empty(series, len(predictor.norm.weight))
        self._generated = 0  # bars of each path that are stored

    def encode_context(self, s1_BC: Tensor, s2_BC: Tensor, stamp_BC5: Tensor) -> None:
        """Encode the contexts, a part of the series at a time."""
        size = series_at_once(self.context, s1_BC.device)
        block_rotation = self._block_rotation.at(slice(self.context))
        dependency_rotation = None
        if self._dependency_rotation is not None:
            dependency_rotation = self._dependency_rotation.at(slice(self.context))
        for begin in range(0, len(s1_BC), size):
            part = slice(begin, begin + size)
            stores = [StoreContext(buffer, part) for buffer in self._blocks]
            h_BCD = self.predictor.hidden_states(
                s1_BC[part], s2_BC[part], stamp_BC5[part], rotation=block_rotation, stores=stores
            )
            keys, values = self.predictor.dep_layer.cross_attn.keys_values(h_BCD, dependency_rotation)
            self._dependency.write(keys, values, series=part)
            self._last_h_BD[part] = self._at_last_bar(h_BCD, part)

    def restart(self, paths: int) -> Tensor:
        """Go back to the end of the contexts, for the next bundle of G paths: hidden states there, [B, G, D]."""
        if paths != self.paths:
            self.paths = paths
            self._mask_B1GT = self._single_step_mask()
        self._generated = 0
        return self._last_h_BD.unsqueeze(1).expand(-1, self.paths, -1)

    def extend(self, s1_BGS: Tensor, s2_BGS: Tensor, stamp_BS5: Tensor) -> Tensor:
        """Add S bars to every path: hidden states of the last of them, [B, G, D]. S above 1 needs equal contexts."""
        series, _, steps = s1_BGS.shape
        first = self._generated
        begin = self.context + first * self.paths
        end = begin + steps * self.paths
        mask = self._mask_B1GT if steps == 1 else self._many_steps_mask(first, steps)
        mask = None if mask is None else mask[..., :end]
        block_rotation = self._rotation_of(self._block_rotation, first, steps)
        dependency_rotation = self._rotation_of(self._dependency_rotation, first, steps)
        size = series if steps == 1 else series_at_once(steps * self.paths, s1_BGS.device)
        last_h = []
        for start in range(0, series, size):
            part = slice(start, start + size)
            h_BQD = self.predictor.hidden_states(
                s1_BGS[part].transpose(1, 2).flatten(1),
                s2_BGS[part].transpose(1, 2).flatten(1),
                stamp_BS5[part].repeat_interleave(self.paths, dim=1),
                rotation=block_rotation,
                stores=[ExtendPaths(buffer, part, begin, mask) for buffer in self._blocks],
            )
            keys, values = self.predictor.dep_layer.cross_attn.keys_values(h_BQD, dependency_rotation)
            self._dependency.write(keys, values, begin, part)
            last_h.append(h_BQD[:, -self.paths :])
        self._generated += steps
        return last_h[0] if len(last_h) == 1 else torch.cat(last_h)

    def s1_logits(self, h_BGD: Tensor) -> Tensor:
        """Logits of the coarse token after the newest bar of each path, [B, G, 2^s1]."""
        return self.predictor.head.proj_s1(h_BGD)

    def s2_logits(self, h_BGD: Tensor, s1_BG: Tensor) -> Tensor:
        """Logits of the fine token [B, G, 2^s2], given the coarse one drawn and the newest hidden states."""
        layer = self.predictor.dep_layer
        rotation = self._rotation_of(self._dependency_rotation, self._generated - 1, 1)
        q_BHGW = layer.cross_attn.queries(self.predictor.embedding.emb_s1(s1_BG), rotation)
        end = self.context + self._generated * self.paths
        mask = None if self._mask_B1GT is None else self._mask_B1GT[..., :end]
        attended_BGD = layer.cross_attn.output(self._dependency.attend(q_BHGW, end, mask, slice(None)))
        return self.predictor.head.proj_s2(layer.norm(h_BGD + attended_BGD))

    def _at_last_bar(self, h_BCD: Tensor, series: slice) -> Tensor:
        if self._lengths_B is None:
            return h_BCD[:, -1]
        rows = torch.arange(len(h_BCD), device=h_BCD.device)
        return h_BCD[rows, self._lengths_B[series] - 1]

    def _rotation_of(self, rotation: Rotation | None, first: int, steps: int) -> Rotation | None:
        """Rotation of generated bars `first .. first + steps - 1`, step after step; -1 is the last of a context."""
        if rotation is None:
            return None
        if self._lengths_B is not None:
            return rotation.at((self._lengths_B + first).unsqueeze(1))
        at = rotation.at(slice(self.context + first, self.context + first + steps))
        return at if steps == 1 else Rotation(*(table.repeat_interleave(self.paths, dim=0) for table in at))

    def _single_step_mask(self) -> Tensor | None:
        """Which slots the newest bar of each path sees, [1 or B, 1, G, T]; None where it is all of them.

        Added to the scores, 0 or -inf. It is cut at the newest slot, so it need not know the step.
        """
        if self.paths == 1 and self._lengths_B is None:
            return None
        weight = self.predictor.norm.weight
        slot_T = torch.arange(self._dependency.keys_BHTW.shape[2], device=weight.device)
        path_G = torch.arange(self.paths, device=weight.device)
        own_GT = (slot_T - self.context) % self.paths == path_G.unsqueeze(1)
        if self._lengths_B is None:
            seen = (own_GT | (slot_T < self.context))[None, None]
        else:
            known_BT = slot_T < self._lengths_B.unsqueeze(1)
            seen = (known_BT.unsqueeze(1) | (own_GT & (slot_T >= self.context)))[:, None]
        return additive(seen, weight.dtype)

    def _many_steps_mask(self, first: int, steps: int) -> Tensor:
        """The same for several new bars of each path at once, [1, 1, S · G, T]."""
        assert self._lengths_B is None, "several bars at once need contexts of one length"
        weight = self.predictor.norm.weight
        slot_T = torch.arange(self.context + (first + steps) * self.paths, device=weight.device) - self.context
        new_Q = slot_T[self.context + first * self.paths :].unsqueeze(1)
        seen_QT = (slot_T < 0) | ((slot_T % self.paths == new_Q % self.paths) & (slot_T <= new_Q))
        return additive(seen_QT[None, None], weight.dtype)
