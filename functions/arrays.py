"""Arrays: the names that signatures give to arrays of plain numbers; rows have theirs beside their layout."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
