// SPDX-License-Identifier: Apache-2.0
// The rotary scaling of a GGUF file as config.json's rope_scaling.
#pragma once

#include "base/json.h"
#include "model/formats/gguf_config.h"
#include "model/formats/gguf_keys.h"

namespace gradus {

// null, or {"rope_type": "linear" | "yarn" | "llama3", …}. Llama 3's scaling is stored as the
// tensor rope_freqs.weight of frequency divisors; its parameters are recovered and verified.
// Throws naming the key or tensor for any other scaling.
Json gguf_rope_scaling(const GgufFile& file, const GgufKeys& keys, const GgufModel& model);

}  // namespace gradus
