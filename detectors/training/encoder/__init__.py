"""The encoder in training: its network, where it starts, what it is shown, and how it becomes an ONNX file."""
