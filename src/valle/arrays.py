"""Array types that modules hand to each other, stated once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
AnyFloats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Samples = NDArray[np.float32]
"""[samples] mono, in [-1, 1]."""
Codes = NDArray[np.int64]
"""[frames, codebooks]."""
Embedding = NDArray[np.float32]
"""[192] speaker embedding of unit length."""
