"""The Faust agents, thin: take a batch, call the model, hand over the effects."""
