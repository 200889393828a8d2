"""The unlearning methods, one file each. A new method is one file and one entry here; importing this loads no torch."""

from trainables.methods.ga import GA, GA_KL, GA_RT
from trainables.methods.method import Forget, Hyperparameter, Method, Reduction, Reference, Retain, RetainTerm, Values
from trainables.methods.npo import NPO, NPO_KL, NPO_RT

METHODS: dict[str, Method] = {method.name: method for method in (GA, GA_RT, GA_KL, NPO, NPO_RT, NPO_KL)}

__all__ = ["METHODS", "Forget", "Hyperparameter", "Method", "Reduction", "Reference", "Retain", "RetainTerm", "Values"]
