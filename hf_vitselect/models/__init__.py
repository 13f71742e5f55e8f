"""Models as the scorers call them: encoding, forwards and weights."""
