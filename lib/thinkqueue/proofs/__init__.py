"""Ball arithmetic: certificates of single answers, and of concavity over whole regions."""

from thinkqueue.proofs.certificate import Certificate, certify
from thinkqueue.proofs.concavity import ConvexityProof, prove_concavity

__all__ = ["Certificate", "ConvexityProof", "certify", "prove_concavity"]
