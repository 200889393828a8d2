"""The norm in half precision. In whole models: `test_patch`."""

from __future__ import annotations

import torch

from trainables.model.cpu.rms_norm import rms_norm


def test_half_precision_stays_close_and_keeps_its_type() -> None:
    generator = torch.Generator().manual_seed(0)
    states, weight = torch.randn(5, 8, generator=generator), torch.randn(8, generator=generator)
    found = rms_norm(states.bfloat16(), weight.bfloat16(), 1e-6)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), rms_norm(states, weight, 1e-6), rtol=0.02, atol=0.02)
