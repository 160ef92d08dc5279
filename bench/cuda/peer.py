# The child process that measures PyTorch on a CUDA device: the computations and the protocol of ours.ts, which see.
# Written as a user would who knows what is fastest there.
import json
import os
import sys

# What libraries print must not get between the replies.
replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(reply):
    print(json.dumps(reply), file=replies, flush=True)


try:
    import torch
    import torch.nn.functional as functional

    if not torch.cuda.is_available():
        raise RuntimeError("torch.cuda.is_available() is false")
except Exception as error:
    say({"error": f"PyTorch: {error}"})
    sys.exit()


def times(make):
    def run(n):
        for _ in range(n):
            make()

    return run


def differentiated(leaves, forward, gradient=None):
    def once():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(gradient)

    return times(once)


# Not torch.set_default_device: that has a price in every call.
def normal(*shape, **like):
    return torch.randn(shape, device="cuda", **like)


def leaf(*shape):
    return normal(*shape, requires_grad=True)


def labels_of(rows, classes):
    return torch.randint(0, classes, (rows,), device="cuda")


def copy(work):
    x = normal(work["size"])
    return times(lambda: x.clone())


def adam(work):
    parameters = [leaf(work["size"]) for _ in range(work["tensors"])]
    for p in parameters:
        p.grad = normal(work["size"])
    optimizer = torch.optim.Adam(parameters, lr=1e-6, fused=True)
    return times(optimizer.step)


def softmax(work):
    x = leaf(work["rows"], work["columns"])
    return differentiated([x], lambda: torch.softmax(x, -1), normal(*x.shape))


def layer_norm(work):
    columns = work["columns"]
    x, weight, bias = leaf(work["rows"], columns), leaf(columns), leaf(columns)
    return differentiated(
        [x, weight, bias],
        lambda: functional.layer_norm(x, (columns,), weight, bias),
        normal(*x.shape),
    )


def cross_entropy(work):
    x = leaf(work["rows"], work["columns"])
    labels = labels_of(work["rows"], work["columns"])
    return differentiated([x], lambda: functional.cross_entropy(x, labels))


def matmul(work):
    like = {"dtype": getattr(torch, work["dtype"])}
    a = normal(work["m"], work["k"], **like)
    b = [normal(work["k"], work["n"], **like) for _ in range(work["operands"])]
    calls = 0

    def once():
        nonlocal calls
        torch.matmul(a, b[calls % len(b)])
        calls += 1

    return times(once)


def conv2d(work):
    x = leaf(work["batch"], work["channels"], work["size"], work["size"])
    weight = leaf(work["filters"], work["channels"], work["kernel"], work["kernel"])
    bias = torch.zeros(work["filters"], device="cuda")
    out = work["size"] - work["kernel"] + 1
    gradient = normal(work["batch"], work["filters"], out, out)
    return differentiated([x, weight], lambda: functional.conv2d(x, weight, bias), gradient)


def step(work):
    sizes, batch = work["sizes"], work["batch"]
    layers = []
    for i in range(1, len(sizes)):
        if i > 1:
            layers.append(torch.nn.ReLU())
        layers.append(torch.nn.Linear(sizes[i - 1], sizes[i]))
    model = torch.nn.Sequential(*layers).to("cuda")
    x = normal(batch, sizes[0])
    y = labels_of(batch, sizes[-1])
    # So small that weights and gradients stay ordinary numbers however often the batch is seen.
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, fused=True, capturable=True)

    def loss_of(x, y):
        return functional.cross_entropy(model(x), y)

    def whole(loss_of):
        optimizer.zero_grad(set_to_none=True)
        loss_of(x, y).backward()
        optimizer.step()

    if work["peer"] == "compile":
        compiled = torch.compile(loss_of, mode="reduce-overhead")
        mark = getattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)

        def once():
            mark()
            whole(compiled)

        return times(once)

    # All of it as one graph, which is recorded after some steps on a stream aside, as PyTorch wants it.
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            whole(loss_of)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
    return times(graph.replay)


def add(work):
    a, b = leaf(*work["shape"]), leaf(*work["shape"])
    return times(lambda: torch.add(a, b))


BUILD = {
    "copy": copy,
    "adam": adam,
    "softmax": softmax,
    "layerNorm": layer_norm,
    "crossEntropy": cross_entropy,
    "matmul": matmul,
    "conv2d": conv2d,
    "step": step,
    "add": add,
}


def time(run, n):
    """Nanoseconds per call, by the device's clock."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    run(n)
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) * 1e6 / n


def calibrate(run, least):
    n, warm = 1, False
    while True:
        total = max(n * time(run, n), 1)
        if total >= least and warm:
            return n
        warm = True
        if total < least:
            n = -int(-min(8 * n, 1.2 * n * least / total) // 1)


def set_precision(work):
    """TF32 as PyTorch has it unless told, nowhere, or everywhere; says which."""
    allow = dict(defaults)
    if work.get("precision") in ("float32", "tf32"):
        allow = {name: work["precision"] == "tf32" for name in allow}
    torch.backends.cuda.matmul.allow_tf32 = allow["matmul"]
    torch.backends.cudnn.allow_tf32 = allow["cudnn"]
    if work["kind"] == "conv2d":
        return f"cudnn.allow_tf32={allow['cudnn']}"
    if work.get("dtype") == "float32":
        return f"cuda.matmul.allow_tf32={allow['matmul']}"
    return None


defaults = {
    "matmul": torch.backends.cuda.matmul.allow_tf32,
    "cudnn": torch.backends.cudnn.allow_tf32,
}
torch.backends.cudnn.benchmark = True
say({"library": f"PyTorch {torch.__version__}", "device": torch.cuda.get_device_name()})
run, iterations = None, 1
for line in sys.stdin:
    job = json.loads(line)
    try:
        if job == "round":
            say({"ns": time(run, iterations)})
            continue
        run = None
        torch.cuda.empty_cache()
        torch.manual_seed(job["seed"])
        note = set_precision(job["work"])
        run = BUILD[job["work"]["kind"]](job["work"])
        iterations = calibrate(run, job["least_ns"])
        say({"iterations": iterations, **({"note": note} if note else {})})
    except Exception as error:
        say({"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"})
