"""The gateway does all input and output of Assay. Its two paths, `pipeline` and `worker`, read from top to bottom."""
