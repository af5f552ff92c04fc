"""Names of the arrays that modules hand to each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Samples = NDArray[np.float32]
"""[samples], mono, -1..1."""
Codes = NDArray[np.int64]
"""[frames, codebooks]."""
Embedding = NDArray[np.float32]
"""[192], of unit length: what the speaker encoder makes of a voice."""
