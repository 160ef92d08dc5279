# The child process that measures PyTorch: the same computations, data and timing as ours.ts and measure.ts,
# one line of JSON. Written as a user would, with what is known to be fastest: gradients set to None, and
# the multi-tensor ("foreach") Adam where it is faster.
import json
import re
import sys
import time

import torch


def eager(work):
    a = torch.randn(work["shape"], requires_grad=True)
    b = torch.randn(work["shape"], requires_grad=True)
    op = getattr(torch, work["op"])
    if work["op"] in ("add", "mul", "matmul"):

        def run(n):
            for _ in range(n):
                y = op(a, b)

    else:

        def run(n):
            for _ in range(n):
                y = op(a)

    return run


def backward(work):
    x = torch.randn(work["shape"])
    w = torch.randn(work["shape"], requires_grad=True)
    b = torch.randn(work["shape"], requires_grad=True)

    def run(n):
        for _ in range(n):
            w.grad = None
            b.grad = None
            x.mul(w).add(b).tanh().mul(w).sum().backward()

    return run


def elementwise(work):
    op, shape = work["op"], work["shape"]
    x, y = torch.randn(shape), torch.randn(shape)
    if op.startswith("log") and len(shape) == 1:
        x = x.abs()
    row, zeros = torch.randn(shape[-1]), torch.zeros(shape[-1])
    classes = torch.randint(0, shape[-1], (shape[0],))
    functional = torch.nn.functional
    ops = {
        "gelu": lambda: functional.gelu(x),
        "add": lambda: torch.add(x, y),
        "mul": lambda: torch.mul(x, y),
        "addNumber": lambda: torch.add(x, 2),
        "addRow": lambda: torch.add(x, row),
        "sum0": lambda: torch.sum(x, 0),
        "sum1": lambda: torch.sum(x, 1),
        "mean0": lambda: torch.mean(x, 0),
        "max0": lambda: torch.amax(x, 0),
        "max1": lambda: torch.amax(x, 1),
        "softmax": lambda: torch.softmax(x, -1),
        "softmax0": lambda: torch.softmax(x, 0),
        "logSoftmax": lambda: torch.log_softmax(x, -1),
        "crossEntropy": lambda: functional.cross_entropy(x, classes),
        "layerNorm": lambda: functional.layer_norm(x, shape[-1:], row, zeros),
    }
    make = ops.get(op) or (lambda f: lambda: f(x))(getattr(torch, op))

    def run(n):
        for _ in range(n):
            z = make()

    return run


def gemm(work):
    m, n, k = work["m"], work["n"], work["k"]
    like = {"dtype": getattr(torch, work["dtype"])}
    a = torch.randn(k, m, **like).t() if work["transposed"] == "a" else torch.randn(m, k, **like)
    b = torch.randn(n, k, **like).t() if work["transposed"] == "b" else torch.randn(k, n, **like)

    def run(count):
        for _ in range(count):
            c = torch.matmul(a, b)

    return run


def adam(work):
    parameters = [torch.randn(work["size"], requires_grad=True) for _ in range(work["tensors"])]
    for p in parameters:
        p.grad = torch.randn(work["size"])

    def variant(foreach):
        optimizer = torch.optim.Adam(parameters, lr=1e-6, foreach=foreach)

        def run(n):
            for _ in range(n):
                optimizer.step()

        return run

    return faster(variant(False), variant(True))


def train(model, x, classes):
    y = torch.randint(0, classes, (len(x),))

    def variant(foreach):
        # So small that weights and gradients stay ordinary numbers however often the batch is seen.
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, foreach=foreach)

        def run(n):
            for _ in range(n):
                loss = torch.nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        return run

    return faster(variant(False), variant(True))


def step(work):
    sizes, batch = work["sizes"], work["batch"]
    layers = []
    for i in range(1, len(sizes)):
        if i > 1:
            layers.append(torch.nn.ReLU())
        layers.append(torch.nn.Linear(sizes[i - 1], sizes[i]))
    return train(torch.nn.Sequential(*layers), torch.randn(batch, sizes[0]), sizes[-1])


def cnn(work):
    # The network of CNN in cases.ts.
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(9216, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 10),
    )
    return train(model, torch.randn(work["batch"], 1, 28, 28), 10)


def faster(a, b):
    """Which of Adam's two implementations wins depends on the sizes: a short trial decides."""

    def best(run):
        times = []
        end = time.perf_counter() + 0.1
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            run(1)
            times.append(time.perf_counter() - start)
        return min(times)

    return a if best(a) <= best(b) else b


def measure(run, seconds):
    sample_ns, slow_ns, warm_up_ns = 1e6, 1e9, 1e8
    now = time.perf_counter_ns
    n = 1
    end = now() + max(warm_up_ns, seconds * 5e8)
    while True:
        start = now()
        run(n)
        stop = now()
        last = max(1, stop - start)
        if stop >= end:
            break
        n = max(1, min(2 * n, round(n * sample_ns / last)))
    min_samples = 1 if last > slow_ns else 5
    samples = []
    cpu_begin = time.process_time_ns()
    begin = at = now()
    end = begin + seconds * 1e9
    while at < end or len(samples) < min_samples:
        run(n)
        following = now()
        samples.append((following - at) / n)
        at = following
    cpu = time.process_time_ns() - cpu_begin
    ordered = sorted(samples)
    half = len(ordered) // 2
    middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return {
        "median_ns": middle,
        "best_ns": ordered[0],
        "mean_ns": (at - begin) / (n * len(samples)),
        "cpu_ns": cpu / (n * len(samples)),
        "iterations": n * len(samples),
    }


BUILD = {
    "eager": eager,
    "backward": backward,
    "elementwise": elementwise,
    "gemm": gemm,
    "adam": adam,
    "step": step,
    "cnn": cnn,
}

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
torch.manual_seed(job["seed"])
result = measure(BUILD[job["work"]["kind"]](job["work"]), job["seconds"])
result["library"] = "PyTorch " + torch.__version__
found = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
result["isa"] = found.group(1) if found else "?"
result["threads"] = torch.get_num_threads()
print(json.dumps(result))
