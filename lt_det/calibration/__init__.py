"""Rules at the logits of a trained model: chosen on held-out images, folded into its weights."""
