"""The pair model: claims beside their premises, fine-tuned, exported, calibrated and measured."""
