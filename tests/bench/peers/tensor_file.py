"""Reads the safetensors files that `atelier bench step --inputs` leaves, with nothing but PyTorch."""

import json
import struct

import torch

DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "U8": torch.uint8}


def load_file(path):
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        if begin == end:
            tensors[name] = torch.empty(about["shape"], dtype=DTYPES[about["dtype"]])
        else:
            flat = torch.frombuffer(data[begin:end], dtype=DTYPES[about["dtype"]])
            tensors[name] = flat.view(about["shape"])
    return tensors
