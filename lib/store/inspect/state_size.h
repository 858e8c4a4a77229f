// SPDX-License-Identifier: Apache-2.0
// What a recurrent model keeps of a sequence, from its configuration alone.
#pragma once

#include "base/json.h"
#include "store/inspect/contents.h"

namespace gradus {

// Bytes of one sequence's state, whatever its length: recurrences in fp32, the last inputs of both
// mixings in bf16. Null for a model that keeps keys and values, and where the configuration is not
// one that the model's code reads.
Json state_bytes(const ModelContents& contents);

}  // namespace gradus
