"""The commands of `assay`, a file each."""
