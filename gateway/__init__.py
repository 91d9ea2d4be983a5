"""The gateway: all the input and output of Assay. Two paths can be read aloud: `pipeline` and `worker`."""
