"""The logistic-regression experiment of the NPO paper (arXiv 2404.05868, section 4): every loss in seconds, on a CPU.

Two classes, random ReLU features, only the last layer learns; the labels take the part of one-token answers, so the
losses are those of `trainables.methods`, not copies. Importing this loads no torch."""
