"""The detectors that are rules: patterns with checksums, exact arithmetic, payloads, fingerprints."""
