#!/usr/bin/python3
# Debian's torchrun fails on its Python before it starts a worker: one function gets None where it expects a map.
import torch.distributed.elastic.multiprocessing as workers
import torch.distributed.elastic.multiprocessing.api as api

plain = api.to_map


def to_map(given, size):
    return plain(api.Std.NONE if given is None else given, size)


api.to_map = workers.to_map = to_map
from torch.distributed.run import main

main()
