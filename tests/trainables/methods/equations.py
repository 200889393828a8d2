"""Every loss again in numpy float64, from the equations: raw logits, row by row, token by token.

Independent of the code under test. Gradients are held by the goldens (`test_golden_losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch

from trainables.plugins.cases import ROWS, VOCABULARY, Answers, Array, Case

Values = Mapping[str, float]
Equation = Callable[[Case, Values], Array]


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max())
    p: Array = e / e.sum()
    return p


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def places(answers: Answers, row: int) -> Iterator[tuple[int, int]]:
    """(position, token) of the answer of one row."""
    for t in np.nonzero(answers.mask[row])[0]:
        yield int(t), int(answers.targets[row, t])


def log_p(logits: Array, answers: Answers, row: int) -> float:
    return float(sum(np.log(softmax(logits[row, t])[y]) for t, y in places(answers, row)))


def rows(of_row: Callable[[int], float]) -> Array:
    return np.array([of_row(i) for i in range(ROWS)])


def ratio(data: Case, i: int) -> float:
    return log_p(data.model, data.answers, i) - log_p(data.reference, data.answers, i)


def alternative_ratio(data: Case, i: int) -> float:
    return log_p(data.alternative, data.others, i) - log_p(data.alternative_reference, data.others, i)


def ga(data: Case, values: Values) -> Array:
    return rows(lambda i: log_p(data.model, data.answers, i))


def learn(data: Case, values: Values) -> Array:
    return -ga(data, values)


def refusal(data: Case, values: Values) -> Array:
    return rows(lambda i: -log_p(data.alternative, data.others, i))


def npo(data: Case, values: Values) -> Array:
    beta = values["beta"]
    return rows(lambda i: -2 / beta * np.log(sigmoid(-beta * ratio(data, i))))


def dpo(data: Case, values: Values) -> Array:
    beta = values["beta"]
    return rows(lambda i: -2 / beta * np.log(sigmoid(beta * (alternative_ratio(data, i) - ratio(data, i)))))


def kto(data: Case, values: Values) -> Array:
    beta = values["beta"]
    anchor = float(np.mean([alternative_ratio(data, i) for i in range(ROWS)]))
    return rows(lambda i: 1 - 2 / beta * np.log(sigmoid(anchor - beta * ratio(data, i))))


def simnpo(data: Case, values: Values) -> Array:
    beta, margin = values["beta"], values["margin"]

    def of_row(i: int) -> float:
        nll = -log_p(data.model, data.answers, i) / data.answers.mask[i].sum()
        return float(-2 / beta * np.log(sigmoid(beta * (nll - margin))))

    return rows(of_row)


def per_token(token: Callable[[int, int, int], float], data: Case) -> Array:
    return rows(lambda i: float(sum(token(i, t, y) for t, y in places(data.answers, i))))


def undial(data: Case, values: Values) -> Array:
    def token(i: int, t: int, y: int) -> float:
        teacher = data.reference[i, t].copy()
        teacher[y] -= values["beta"]
        return float(-(softmax(teacher) * np.log(softmax(data.model[i, t]))).sum())

    return per_token(token, data)


def ce_u(data: Case, values: Values) -> Array:
    def token(i: int, t: int, y: int) -> float:
        if t == min(s for s, _ in places(data.answers, i)):
            return 0.0
        others = np.arange(VOCABULARY) != y
        q = softmax(data.model[i, t][others])
        return float(-(q * np.log(softmax(data.model[i, t])[others])).sum())

    return per_token(token, data)


def weighted(weight: Callable[[float, Values], float], data: Case, values: Values) -> Array:
    def token(i: int, t: int, y: int) -> float:
        return weight(softmax(data.model[i, t])[y], values) * float(np.log(softmax(data.model[i, t])[y]))

    return per_token(token, data)


def tnpo(data: Case, values: Values) -> Array:
    beta = values["beta"]

    def token(i: int, t: int, y: int) -> float:
        relative = softmax(data.model[i, t])[y] / softmax(data.reference[i, t])[y]
        return float(-2 / beta * np.log(1 / (1 + relative**beta)))

    return per_token(token, data)


def me(data: Case, values: Values) -> Array:
    def token(i: int, t: int, y: int) -> float:
        uniform = np.full(VOCABULARY, 1 / VOCABULARY)
        return float((uniform * np.log(uniform / softmax(data.model[i, t]))).sum())

    return per_token(token, data)


def em(data: Case, values: Values) -> Array:
    def token(i: int, t: int, y: int) -> float:
        p = softmax(data.model[i, t])
        return float((p * np.log(p)).sum())

    return per_token(token, data)


def sfron(data: Case, values: Values) -> Array:
    """n l_i w_i, because the mean over n rows must be the sum of w_i l_i with weights that add up to 1."""
    losses = rows(lambda i: -log_p(data.model, data.answers, i) / data.answers.mask[i].sum())
    weights = losses ** -values["smoothing"]
    found: Array = -ROWS * losses * weights / weights.sum()
    return found


def mean_p(logits: Array, answers: Answers, i: int) -> float:
    return float(np.mean([softmax(logits[i, t])[y] for t, y in places(answers, i)]))


def flat(data: Case, values: Values) -> Array:
    def of_row(i: int) -> float:
        answer, other = mean_p(data.model, data.answers, i), mean_p(data.alternative, data.others, i)
        return float(-np.tanh(other) / 2 + np.tanh(answer) / 2)

    return rows(of_row)


def rmu(data: Case, values: Values) -> Array:
    entries = torch.rand(data.hidden.shape[-1], generator=torch.Generator().manual_seed(11)).numpy()
    target = values["steering"] * (entries / np.sqrt((entries**2).sum())).astype(np.float64)
    return per_token(lambda i, t, y: float(np.mean((data.hidden[i, t] - target) ** 2)), data)


def pdu(data: Case, values: Values) -> Array:
    return per_token(lambda i, t, y: float((data.model[i, t].max() - data.model[i, t].mean()) ** 2), data)


EQUATIONS: dict[str, Equation] = {
    **dict.fromkeys(("ga", "ga_rt", "ga_kl", "ngdiff"), ga),
    **dict.fromkeys(("idk_rt", "idk_ap", "ulmr"), refusal),
    **dict.fromkeys(("dpo", "dpo_rt", "dpo_kl", "idk_dpo", "altpo"), dpo),
    **dict.fromkeys(("kto", "kto_rt"), kto),
    **dict.fromkeys(("npo", "npo_rt", "npo_kl", "gru", "sam", "uipe"), npo),
    "simnpo": simnpo,
    "undial": undial,
    "ce_u": ce_u,
    "wga": partial(weighted, lambda p, v: p ** v["beta"]),
    "satimp": partial(weighted, lambda p, v: p ** v["beta1"] * (1 - p) ** v["beta2"]),
    "tnpo": tnpo,
    "me": me,
    **dict.fromkeys(("em", "em_rt"), em),
    "sfron": sfron,
    "flat": flat,
    "rmu": rmu,
    "pdu": pdu,
    "task_arithmetic": learn,
}


def kl(data: Case, values: Values) -> Array:
    def token(i: int, t: int, y: int) -> float:
        p, q = softmax(data.model[i, t]), softmax(data.reference[i, t])
        return float((q * np.log(q / p)).sum())

    return per_token(token, data)


def hidden(data: Case, values: Values) -> Array:
    return per_token(lambda i, t, y: float(np.mean((data.hidden[i, t] - data.hidden_reference[i, t]) ** 2)), data)


def preference(data: Case, values: Values) -> Array:
    beta = values["beta"]

    def of_row(i: int) -> float:
        ahead = log_p(data.model, data.answers, i) - log_p(data.alternative, data.others, i)
        return float(-1 / beta * np.log(sigmoid(beta * ahead)))

    return rows(of_row)


RETAIN_EQUATIONS: dict[str, Equation] = {"nll": learn, "kl": kl, "hidden": hidden, "preference": preference}
