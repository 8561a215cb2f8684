"""Networks of the autoencoder family as pure tensors: layers, losses, phases, one score.

Importing a module of this package starts Keras; the models import it where they build a network.
"""
