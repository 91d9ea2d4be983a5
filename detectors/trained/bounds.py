"""How much of a text the trained networks read, for those too who only look at texts and load no arrays."""

# In code points. What lies beyond LIMIT of a text is not judged, and the judgement says so.
WINDOW = 1_500  # of the n-gram model
STRIDE = 1_300
MAX_WINDOWS = 24
LIMIT = WINDOW + (MAX_WINDOWS - 1) * STRIDE
