"""The logistic-regression experiment of the NPO paper (arXiv 2404.05868, section 4): any loss in seconds, on a CPU.

Two classes, random ReLU features, and only the last layer learns. Labels act as one-token answers, so the losses are
those of `trainables.methods`, not copies. Importing the package loads no torch.
"""
