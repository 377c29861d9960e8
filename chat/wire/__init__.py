"""Dialects: each turns an envelope into text. They know no transport and not each other."""
