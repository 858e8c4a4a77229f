// SPDX-License-Identifier: Apache-2.0
// Whatever parse_safetensors accepts must be usable: each tensor's bytes lie in the image and have
// the size that dtype and shape say.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "model/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto image = std::as_bytes(std::span(data, size));
  try {
    const gradus::SafetensorsImage file = gradus::parse_safetensors(image, "fuzz");
    size_t total = 0;
    for (const auto& name : file.names) {
      const gradus::StoredTensor& tensor = file.tensors.at(name);
      auto bytes = static_cast<size_t>(gradus::safetensors_item_bytes(tensor.dtype, name));
      for (const int64_t extent : tensor.shape) bytes *= static_cast<size_t>(extent);
      const bool inside =
          tensor.bytes.empty() || (tensor.bytes.data() >= image.data() &&
                                   tensor.bytes.data() + bytes <= image.data() + size);
      if (tensor.bytes.size() != bytes || !inside) std::abort();
      total += bytes;
    }
    if (total > size) std::abort();
  } catch (const gradus::Error&) {
  }
  return 0;
}
