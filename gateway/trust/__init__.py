"""From judged samples to rates with intervals."""
