"""What crosses a boundary: event, corridor map, slice, score, rejection, topics. No I/O happens here."""
