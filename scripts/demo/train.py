#!/usr/bin/env python3
"""A small real training: logistic regression by gradient descent with momentum, in nothing but the standard library.

    train.py [--iterations N] [--checkpoint-every N] [--seconds-per-iteration S]

It writes iter_N.pth files into $TRAINLOCK_WEIGHTS_DIR, each complete before it gets its name.
"""

import argparse
import math
import os
import random
import struct
import time
from typing import List, Tuple

FEATURES = 96
EXAMPLES = 300


def made_data(generator: random.Random) -> Tuple[List[List[float]], List[int]]:
    """Points on both sides of a hidden plane, one in ten with the wrong label."""
    plane = [generator.gauss(0, 1) for _ in range(FEATURES)]
    points = [[generator.gauss(0, 1) for _ in range(FEATURES)] for _ in range(EXAMPLES)]
    labels = []
    for point in points:
        side = sum(a * b for a, b in zip(plane, point)) > 0
        labels.append(int(side != (generator.random() < 0.1)))
    return points, labels


def loss_and_gradient(
    weights: List[float], points: List[List[float]], labels: List[int]
) -> Tuple[float, List[float]]:
    loss = 0.0
    gradient = [0.0] * FEATURES
    for point, label in zip(points, labels):
        score = sum(a * b for a, b in zip(weights, point))
        guess = 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))
        loss -= math.log(guess if label else 1 - guess) / EXAMPLES
        error = (guess - label) / EXAMPLES
        for i, value in enumerate(point):
            gradient[i] += error * value
    return loss, gradient


def save_checkpoint(folder: str, iteration: int, weights: List[float], momentum: List[float]) -> None:
    path = os.path.join(folder, f"iter_{iteration}.pth")
    with open(f"{path}.partial", "wb") as file:
        file.write(struct.pack("<ii", iteration, FEATURES))
        file.write(struct.pack(f"<{2 * FEATURES}d", *weights, *momentum))
    os.replace(f"{path}.partial", path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=120)
    parser.add_argument("--checkpoint-every", type=int, default=40)
    parser.add_argument("--seconds-per-iteration", type=float, default=0.0, help="at least, as if a batch had to load")
    arguments = parser.parse_args()

    folder = os.environ["TRAINLOCK_WEIGHTS_DIR"]
    points, labels = made_data(random.Random(1))
    weights, momentum = [0.0] * FEATURES, [0.0] * FEATURES
    print(f"training {os.environ['TRAINLOCK_NAME']}, generation {os.environ['TRAINLOCK_GENERATION']}", flush=True)
    for iteration in range(1, arguments.iterations + 1):
        started = time.monotonic()
        loss, gradient = loss_and_gradient(weights, points, labels)
        momentum = [0.9 * m - 0.1 * g for m, g in zip(momentum, gradient)]
        weights = [w + m for w, m in zip(weights, momentum)]
        if iteration % arguments.checkpoint_every == 0:
            save_checkpoint(folder, iteration, weights, momentum)
            print(f"iteration {iteration:4}  loss {loss:.4f}  saved iter_{iteration}.pth", flush=True)
        time.sleep(max(0.0, arguments.seconds_per_iteration - (time.monotonic() - started)))


if __name__ == "__main__":
    main()
