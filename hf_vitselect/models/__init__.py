"""Models as the scorers call them: encoding, forward passes and weights."""
