"""A Python program that does what its input says: a line of JSON with the text of an expression or of statements, answered by a
line of JSON: its value, or what was raised."""

import json
import os
import signal
import subprocess
import sys
import time

import training_lock
from training_lock import *
from training_lock import TrainingLock

answers = os.fdopen(os.dup(1), "w")
# Whatever a program prints must not stand between the answers.
os.dup2(2, 1)
names = globals()
names["lock"] = TrainingLock("baseline", "IDD-AW", "deeplabv3plus_r50")


def answer(text):
    try:
        try:
            code = compile(text, "<input>", "eval")
        except SyntaxError:
            exec(compile(text, "<input>", "exec"), names)
            return {"value": None}
        return {"value": eval(code, names)}
    except BaseException as error:
        return {"raised": type(error).__name__, "message": str(error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=str), file=answers, flush=True)
