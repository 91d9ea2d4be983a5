"""Training in bfloat16 with weights kept in fp32 (Micikevicius et al. 2017, arXiv 1710.03740).

All that learns lies in one long tensor a group, so that the optimiser, the norm of the gradients and the average are
each one pass over memory, and weights are turned into bfloat16 once a step and not in every operation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn


class Group:
    """Parameters of one learning rate: in bfloat16 for the network, in fp32 for the optimiser."""

    def __init__(self, parameters: Sequence[nn.Parameter], peak: float) -> None:
        self.peak = peak
        self._parameters = parameters
        self.weights = nn.Parameter(torch.cat([value.detach().float().flatten() for value in parameters]))
        self._halves = self.weights.detach().bfloat16()
        self._gradients = torch.zeros_like(self._halves)
        start = 0
        for value in parameters:
            part = slice(start, start + value.numel())
            value.data = self._halves[part].view_as(value)
            value.grad = self._gradients[part].view_as(value)
            start = part.stop

    def take_gradients(self) -> None:
        """What the network collected becomes the gradient of the fp32 weights, and the next step begins at nothing."""
        self.weights.grad = self._gradients.float()
        self._gradients.zero_()

    def give_weights(self) -> None:
        """The network sees the weights that the optimiser left."""
        self._halves.copy_(self.weights.detach())

    def named(self, weights: torch.Tensor, names: Mapping[int, str]) -> dict[str, torch.Tensor]:
        """Such a long tensor as weights by their name; `names` by the parameter's identity."""
        parts = weights.detach().split([value.numel() for value in self._parameters])
        return {
            names[id(value)]: part.view_as(value).clone() for value, part in zip(self._parameters, parts, strict=True)
        }


class Trainer:
    """AdamW over groups of parameters, with clipped gradients and an average of the weights.

    `average` is the weight of the past in that average after each step; it follows every EVERY steps.
    """

    EVERY = 8

    def __init__(self, network: nn.Module, groups: Sequence[tuple[Sequence[nn.Parameter], float]], average: float):
        self._names = {id(value): name for name, value in network.named_parameters()}
        self._groups = [Group(parameters, peak) for parameters, peak in groups]
        network.bfloat16()  # the rest, which does not learn
        self._average = [group.weights.detach().clone() for group in self._groups]
        self._keep = average
        self.steps = 0
        self._optimiser = torch.optim.AdamW(
            [{"params": [group.weights], "lr": group.peak} for group in self._groups],
            betas=(0.9, 0.98),
            weight_decay=0.01,
            fused=True,
        )

    def step(self, loss: torch.Tensor, share: float) -> None:
        """Learn from a loss, at this share of each group's peak rate."""
        loss.backward()
        for group, settings in zip(self._groups, self._optimiser.param_groups, strict=True):
            group.take_gradients()
            settings["lr"] = group.peak * share
        torch.nn.utils.clip_grad_norm_([group.weights for group in self._groups], 1.0)
        self._optimiser.step()
        self.steps += 1
        for group in self._groups:
            group.give_weights()
        if self.steps % self.EVERY == 0:
            self._follow(min(self._keep**self.EVERY, self.steps / (self.steps + 10 * self.EVERY)))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _follow(self, keep: float) -> None:
        for average, group in zip(self._average, self._groups, strict=True):
            average.lerp_(group.weights, 1 - keep)

    def averaged(self) -> dict[str, torch.Tensor]:
        """The averaged weights of what learns, in fp32, by name."""
        out: dict[str, torch.Tensor] = {}
        for group, average in zip(self._groups, self._average, strict=True):
            out |= group.named(average, self._names)
        return out

    def state(self) -> dict[str, Any]:
        """What `resume` needs to go on."""
        return {
            "weights": [group.weights.detach() for group in self._groups],
            "average": self._average,
            "optimiser": self._optimiser.state_dict(),
            "steps": self.steps,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        with torch.no_grad():
            for group, weights in zip(self._groups, state["weights"], strict=True):
                group.weights.copy_(weights)
                group.give_weights()
        self._average, self.steps = state["average"], state["steps"]
        self._optimiser.load_state_dict(state["optimiser"])
