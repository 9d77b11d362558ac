// Replaced by the trainer.
