"""A plug-in that works, as text for tests to break."""

GOOD = '''\
"""NPO with a temperature."""

from letheon.methods import BETA, Hyperparameter, Method, log_ratio, log_sigmoid


def loss(forget, values):
    softened = log_ratio(forget.model, forget.reference) / values["temperature"]
    return -(2 / values["beta"]) * log_sigmoid(-values["beta"] * softened)


MY_NPO = Method(
    name="my_npo",
    forget_loss=loss,
    reduction="rows",
    source="a test",
    reference="log_probs",
    hyperparameters={
        "beta": BETA,
        "temperature": Hyperparameter(low=0.5, high=4.0, log=True, default=1.0, gt=0, about="softens the ratio"),
    },
)
'''
