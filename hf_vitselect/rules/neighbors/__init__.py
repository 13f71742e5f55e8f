"""Neighbors in embedding space: exact, among the remaining rows, or by a faiss index."""
