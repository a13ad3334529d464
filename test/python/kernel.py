"""For session.py: a real Jupyter kernel, and cells that are run in it. Raises what a cell raises, by the name that it has there."""

import os

from jupyter_client.manager import start_new_kernel

kernel, client = start_new_kernel(kernel_name="python3", stderr=open(os.devnull, "w"))


class CellError(Exception):
    pass


def begin(code):
    """Starts a cell, and returns once it has printed something."""
    cell = client.execute(code)
    while next_of(cell)[0] != "stream":
        pass
    return cell


def next_of(cell):
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == cell:
            return message["msg_type"], message["content"]


def outcome(cell):
    """What the cell prints from now on and its last value, as text. Raises CellError."""
    said = []
    while True:
        kind, content = next_of(cell)
        if kind == "stream":
            said.append(content["text"])
        elif kind == "execute_result":
            said.append(content["data"]["text/plain"])
        elif kind == "error":
            raise CellError("{}: {}".format(content["ename"], content["evalue"]))
        elif kind == "status" and content["execution_state"] == "idle":
            return "".join(said)


def run(code):
    return outcome(client.execute(code))


def pid():
    return int(run("os.getpid()"))


def again():
    """The kernel has been started again."""
    client.wait_for_ready(timeout=60)
    return run(before)


before = """
import os, sys, time
import training_lock
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
"""
run(before)
