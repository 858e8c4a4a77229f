// SPDX-License-Identifier: Apache-2.0
// Whatever parse_gguf accepts must be usable: every tensor can be expanded without leaving the
// image (AddressSanitizer watches the reads).
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "model/formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const gradus::GgufImage file = gradus::parse_gguf(std::as_bytes(std::span(data, size)), "fuzz");
    for (const gradus::GgufTensor& tensor : file.tensors) {
      std::vector<float> row(static_cast<size_t>(tensor.row_elements()));
      for (int64_t i = 0; i < tensor.rows(); ++i) gradus::dequantize_gguf_row(tensor, i, row);
    }
  } catch (const gradus::Error&) {
  }
  return 0;
}
