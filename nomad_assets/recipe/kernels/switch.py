"""The one switch between hand-written kernels and plain torch.

It is an environment variable, read at every call: it holds in all processes that train together, in threads that
autograd starts, and in a model whose layers were exchanged before. The numbers agree up to rounding, so no fingerprint
contains it.
"""

import contextlib
import os
from collections.abc import Iterator
from types import ModuleType

from nomad_assets.errors import NomadError

VARIABLE = "NOMAD_KERNELS"
FUSED, PLAIN = "fused", "plain"


def kernels() -> ModuleType:
    """The module with row_attention, head_loss, head_losses, scaled_norm and gated_projection; needs torch.

    Raises NomadError when NOMAD_KERNELS is neither `fused` (also where it is unset or empty) nor `plain`.
    """
    from nomad_assets.recipe.kernels import fused, plain

    name = os.environ.get(VARIABLE) or FUSED
    if name not in (FUSED, PLAIN):
        raise NomadError(f"{VARIABLE}={name}: must be {FUSED} or {PLAIN}")
    return fused if name == FUSED else plain


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Compute with `fused` or `plain` kernels in this block, in the whole process and in those that it starts."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        kernels()  # a wrong name fails here rather than in the first layer
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
