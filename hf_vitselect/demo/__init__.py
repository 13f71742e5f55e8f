"""The demo: a rendered pool, tiny models, and the whole chain on them."""
