#!/usr/bin/env python3
"""Writes test/golden/metrics.json and test/golden/data.json: what scikit-learn says of random predictions, and of
test/data/wine.csv. Made with scikit-learn 1.2.1 and NumPy 1.24 (Debian 12: python3-sklearn).

    python3 scripts/golden-sklearn.py
"""
import json
import pathlib

import numpy as np
from sklearn import metrics as m
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

ROOT = pathlib.Path(__file__).resolve().parent.parent / "test"


def write(name, value):
    (ROOT / "golden" / name).write_text(json.dumps(value) + "\n")


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def of_classes(f, y, binary):
    averages = ["macro", "weighted", "micro"] + (["binary"] if binary else [])
    score = {
        a: [float(s(y, f, average=a, zero_division=0)) for s in (m.precision_score, m.recall_score, m.f1_score)]
        for a in averages
    }
    score_of_one = {
        a: [float(s(y, f, average=a, zero_division=1)) for s in (m.precision_score, m.recall_score)] for a in averages
    }
    p, r, f1, support = m.precision_recall_fscore_support(y, f, zero_division=0)
    return {
        "accuracy": m.accuracy_score(y, f),
        "confusionMatrix": m.confusion_matrix(y, f).tolist(),
        "averages": score,
        "zeroDivision1": score_of_one,
        "classScores": [p.tolist(), r.tolist(), f1.tolist(), support.tolist()],
    }


def metrics():
    rng = np.random.default_rng(1)
    cases = {"classes": [], "scores": [], "regression": []}
    for n, k in ((7, 2), (200, 2), (50, 3), (300, 10)):
        y = rng.integers(0, k, n)
        f = np.where(rng.random(n) < 0.5, y, rng.integers(0, k, n))
        f[0], y[0] = k - 1, min(1, k - 1)  # so that the last class is there
        if k == 3:
            f[f == 2] = 0  # one that is never predicted
            y[-1] = 2
        assert sorted(set(y) | set(f)) == list(range(k))
        cases["classes"].append({"prediction": f.tolist(), "target": y.tolist(), **of_classes(f, y, k == 2)})
    for n, k, digits in ((20, 2, 17), (200, 2, 1), (150, 4, 17), (150, 4, 1)):
        y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
        z = np.round(rng.normal(size=(n, k)) + np.eye(k)[y], digits)
        p = softmax(z)
        case = {"probabilities": p.tolist(), "target": y.tolist(), "logLoss": m.log_loss(y, p)}
        if k == 2:
            case["rocAuc"] = {"macro": m.roc_auc_score(y, p[:, 1])}
        else:
            case["rocAuc"] = {a: m.roc_auc_score(y, p, multi_class="ovr", average=a) for a in ("macro", "weighted")}
            case["topK"] = [m.top_k_accuracy_score(y, p, k=i) for i in range(1, k)]
        cases["scores"].append(case)
    certain = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    cases["certain"] = {"probabilities": certain, "target": [0, 1, 1], "logLoss": m.log_loss([0, 1, 1], certain)}
    for shape in ((2,), (100,), (40, 3)):
        y = rng.normal(size=shape) * 3 + 1
        f = y + rng.normal(size=shape)
        cases["regression"].append(
            {
                "prediction": f.tolist(),
                "target": y.tolist(),
                "meanSquaredError": m.mean_squared_error(y, f),
                "rootMeanSquaredError": m.mean_squared_error(y, f) ** 0.5,
                "meanAbsoluteError": m.mean_absolute_error(y, f),
                "rSquared": m.r2_score(y, f),
            }
        )
    return cases


def sizes():
    """Sizes of the parts, or null where scikit-learn refuses."""
    found = []
    for n in (2, 5, 10, 101):
        for test, train in (
            (None, None),
            (0.2, None),
            (0.33, None),
            (None, 0.6),
            (0.5, 0.3),
            (0.7, 0.5),
            (0.99, None),
            (None, 0.01),
            (3, None),
            (None, 4),
            (2, 3),
            (200, None),
        ):
            try:
                a, b = train_test_split(np.arange(n), test_size=test, train_size=train)
                got = [len(a), len(b)]
            except ValueError:
                got = None
            found.append({"n": n, "testSize": test, "trainSize": train, "sizes": got})
    return found


def strata():
    """Members of each class in both parts, where no tie is left to chance."""
    found = []
    for counts, test in (
        ([50, 50, 50], 30),
        ([70, 20, 11], 0.3),
        ([5, 17, 100, 31], 0.25),
        ([2, 40], 0.5),
        ([13, 29, 7, 55, 41], 0.37),
        ([9, 14, 33, 21, 60, 3], 0.45),
        ([8, 19, 23, 31, 47], 40),
    ):
        y = np.repeat(np.arange(len(counts)), counts)
        splits = [train_test_split(y, test_size=test, stratify=y, random_state=seed) for seed in range(50)]
        parts = [[np.bincount(v, minlength=len(counts)).tolist() for v in split] for split in splits]
        assert all(p == parts[0] for p in parts)
        found.append({"counts": counts, "testSize": test, "parts": parts[0]})
    return found


def preprocessing():
    x = np.loadtxt(ROOT / "data" / "wine.csv", delimiter=",", skiprows=1)[:, :-1]
    fit, rest = x[::2], x[1::2]
    scaler = StandardScaler().fit(fit)
    pca = PCA(n_components=5, whiten=True, svd_solver="full").fit(fit)
    signs = np.sign(pca.components_[np.arange(5), np.abs(pca.components_).argmax(axis=1)])
    return {
        "standardized": scaler.transform(rest)[:6].tolist(),
        "mean": scaler.mean_.tolist(),
        "deviation": scaler.scale_.tolist(),
        "variances": pca.explained_variance_.tolist(),
        "components": (pca.components_ * signs[:, None]).tolist(),
        "whitened": (pca.transform(rest)[:6] * signs).tolist(),
        "restored": pca.inverse_transform(pca.transform(rest))[:6].tolist(),
    }


write("metrics.json", metrics())
write("data.json", {"sizes": sizes(), "strata": strata(), "wine": preprocessing()})
