// SPDX-License-Identifier: Apache-2.0
// Writing GGUF v3: metadata in the order given, then tensors aligned to 32 bytes, streamed so that
// a model needs not fit in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/formats/gguf.h"

namespace gradus {

using GgufValue = std::variant<uint32_t, float, bool, std::string, std::vector<std::string>,
                               std::vector<int32_t>, std::vector<float>>;
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;

// `bytes` is called once, in file order; its result must stay valid until the next one is asked.
struct GgufTensorSource {
  std::string name;
  GgufType type = GgufType::kF32;
  std::vector<int64_t> shape = {};  // slowest first, as in PyTorch
  std::function<std::span<const std::byte>()> bytes = {};
};

// Written under a temporary name and renamed. A byte count that does not fit type and shape, a
// name twice, or one that is too long for the format is a std::logic_error.
void write_gguf(const fs::path& path, const GgufMetadata& metadata,
                const std::vector<GgufTensorSource>& tensors);

}  // namespace gradus
