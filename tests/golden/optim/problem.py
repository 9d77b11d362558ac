"""Parameters and gradients of the closed loop; tests/support/optim_problem.h has the same, bit for
bit."""
import numpy as np

SHAPES = [(7, 5), (5,), (4, 3, 3, 3), (2, 1, 3), (6, 1), (1,)]
SCALES = [1.0, 1e-6, 1e-2, 1e3, 1e-3, 10.0]
STEPS, KEPT = 100, (1, 2, 5, 25, 100)


def noise(tensor, step, n):
    """Values in [-0.5, 0.5), exact in double."""
    i = np.arange(n, dtype=np.uint64)
    x = (i * 2654435761 + step * 40503 * 65536 + (tensor + 1) * 974634777) % 2**32
    x = (x ^ (x >> np.uint64(15))) * np.uint64(739982445) % 2**32
    x = x ^ (x >> np.uint64(12))
    return x.astype(np.float64) / 2.0**32 - 0.5


def initial():
    return [noise(k, 0, int(np.prod(s))).reshape(s) for k, s in enumerate(SHAPES)]


def gradient(k, step, theta):
    """None: missing at this step. The values with a large mean are exact in float32."""
    if k == 2 and step == 7:
        return None
    if k == 1 and step == 3:
        return np.zeros(SHAPES[k])
    if k == 0 and step == 4:
        return np.full(SHAPES[k], float(np.float32(0.1)))
    z = noise(k, step, theta.size).reshape(SHAPES[k])
    if k == 2 and step == 6:
        return (1000.0 + 0.01 * z).astype(np.float32).astype(np.float64)
    return SCALES[k] * (z + 0.125 * theta)
