// SPDX-License-Identifier: Apache-2.0
// The tensors of RWKV-7's layers: llama.cpp's names are those of the authors, the checkpoint's
// those of flash-linear-attention.
#pragma once

#include <vector>

#include "model/gguf/places.h"

namespace gradus {

// Appends the tensors of layer `index`.
void add_rwkv7_places(const ModelConfig& config, int64_t index, std::vector<GgufPlace>& places);

}  // namespace gradus
