"""The detectors that were trained: word pieces and n-grams in, ONNX networks, calibrated scores out."""
