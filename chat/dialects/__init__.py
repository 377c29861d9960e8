"""Endpoints of older systems, for their clients. Each module speaks the dialect of its name."""
