"""The unlearning methods, one file per family: a new one is a file and an entry here. Importing loads no torch."""

from trainables.methods.altpo import ALTPO
from trainables.methods.base import Forget, Hyperparameter, Method, Reduction, Reference, Retain, RetainTerm, Values
from trainables.methods.ce_u import CE_U
from trainables.methods.dpo import DPO, DPO_KL, DPO_RT, IDK_DPO
from trainables.methods.em import EM, EM_RT
from trainables.methods.flat import FLAT
from trainables.methods.ga import GA, GA_KL, GA_RT
from trainables.methods.gru import GRU
from trainables.methods.idk import IDK_AP, IDK_RT
from trainables.methods.kto import KTO, KTO_RT
from trainables.methods.me import ME
from trainables.methods.ngdiff import NGDIFF
from trainables.methods.npo import NPO, NPO_KL, NPO_RT
from trainables.methods.pdu import PDU
from trainables.methods.rmu import RMU
from trainables.methods.sam import SAM
from trainables.methods.satimp import SATIMP
from trainables.methods.sfron import SFRON
from trainables.methods.simnpo import SIMNPO
from trainables.methods.task_arithmetic import TASK_ARITHMETIC
from trainables.methods.tnpo import TNPO
from trainables.methods.uipe import UIPE
from trainables.methods.ulmr import ULMR
from trainables.methods.undial import UNDIAL
from trainables.methods.wga import WGA

_NPO_PAPER = (GA, GA_RT, GA_KL, IDK_RT, DPO, DPO_RT, DPO_KL, KTO, KTO_RT, NPO, NPO_RT, NPO_KL)
_LATER_LOSSES = (SIMNPO, ALTPO, IDK_DPO, IDK_AP, UNDIAL, CE_U, WGA, SATIMP, TNPO, ME, EM, EM_RT, SFRON, FLAT, RMU, PDU)
_GRADIENT_LEVEL = (NGDIFF, GRU, SAM)
_WEIGHT_LEVEL = (TASK_ARITHMETIC, UIPE, ULMR)

METHODS: dict[str, Method] = {
    method.name: method for method in (*_NPO_PAPER, *_LATER_LOSSES, *_GRADIENT_LEVEL, *_WEIGHT_LEVEL)
}
"""Every method by name, in the order in which they are listed."""

__all__ = ["METHODS", "Forget", "Hyperparameter", "Method", "Reduction", "Reference", "Retain", "RetainTerm", "Values"]
