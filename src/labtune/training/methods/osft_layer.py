"""A decomposed linear layer: the protected part of its weight, and the factors that are trained."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.osf.layer import Linear
from torch.nn.functional import linear

from labtune.training.methods.wrapped import NAME


class OsftLinear(Linear):  # type: ignore[misc]
    """peft's layer, which decomposes the weight and projects gradients, with a forward pass of its own.

    peft multiplies the input by the whole weight, by the trained factors and by those they began with, and
    subtracts. Here the weight is put together first: one product instead of three, and no difference of two
    nearly equal numbers in bf16.
    """

    def take_apart(self) -> None:
        """Leave only the protected part in the base layer; call once, before the first step."""
        with torch.no_grad():
            left, sizes = self._osf_U_low_init[NAME], self._osf_S_low_init[NAME]
            self.base_layer.weight.addmm_(left * sizes, self._osf_V_low_init[NAME], alpha=-1)

    def whole_weight(self) -> torch.Tensor:
        """Protected part plus trained part, in fp32."""
        factors = self.osf_svd_params[NAME]
        left = factors["U_low"] * factors["S_low"]
        with torch.autocast(left.device.type, enabled=False):
            return torch.addmm(self.base_layer.weight, left, factors["V_low"])

    def forward(self, x: torch.Tensor, *_args: Any, **_settings: Any) -> torch.Tensor:
        """The product with the whole weight."""
        return linear(x, self.whole_weight(), self.base_layer.bias)

    @torch.no_grad()
    def project(self) -> None:
        """Take out of the trained factors what lies within the protected directions.

        Of a square matrix of singular vectors, peft keeps only the trained ones: they span all that is not
        protected, and the factor is projected onto them. Of the other matrix, the part along the protected
        vectors is taken away.
        """
        factors = self.osf_svd_params[NAME]
        left, right = factors["U_low"], factors["V_low"]
        if NAME in self._osf_U_high:
            high = self._osf_U_high[NAME]
            left.sub_(high @ (high.T @ left))
        else:
            low = self._osf_U_low_init[NAME]
            left.copy_(low @ (low.T @ left))
        if NAME in self._osf_V_high:
            high = self._osf_V_high[NAME]
            right.sub_((right @ high.T) @ high)
        else:
            low = self._osf_V_low_init[NAME]
            right.copy_((right @ low.T) @ low)

    def frozen(self) -> dict[str, torch.Tensor]:
        """The factors that training began with, by attribute."""
        names = ("_osf_U_low_init", "_osf_S_low_init", "_osf_V_low_init", "_osf_U_high", "_osf_V_high")
        return {name: getattr(self, name)[NAME] for name in names if NAME in getattr(self, name)}
