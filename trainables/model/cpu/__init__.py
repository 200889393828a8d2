"""On CPUs: what a decoder layer does beside its matrix products, in few passes over memory.

Layers written for GPUs make a new tensor for every operation and leave it to a compiler to join them. A fresh machine
has no compiler, so here they are joined by hand, with gradients: norms, gates, rotation and attention of packed rows.
A module is replaced only if it was seen to compute the same (`install`)."""
