"""The reference pages, written from what the program itself says: `python -m scripts.reference`."""
