# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fuzz/corpus/fuzz_gguf: small valid files made by llama.cpp's gguf package."""

import pathlib

import gguf
import numpy as np

FOLDER = pathlib.Path(__file__).parent / "corpus" / "fuzz_gguf"
KINDS = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K".split()


def writer_of(name):
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", "llama")
    writer.add_block_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    return writer


def save(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in KINDS:
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        writer = writer_of(name)
        writer.add_tensor("t", (np.arange(2 * size) % 60).astype(np.uint8).reshape(2, size), raw_dtype=kind)
        save(writer)
    writer = writer_of("metadata")
    writer.add_token_list(["a", "bc", ""])
    writer.add_token_scores([0.5, -1.0, 2.0])
    writer.add_token_types([1, 3, 6])
    writer.add_custom_alignment(64)
    writer.add_add_bos_token(True)
    save(writer)


if __name__ == "__main__":
    main()
