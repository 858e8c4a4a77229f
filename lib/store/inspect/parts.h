// SPDX-License-Identifier: Apache-2.0
// How many parameters a model has, where they are, and what memory they need in each precision.
#pragma once

#include "base/json.h"
#include "store/inspect/contents.h"

namespace gradus {

// {"total": …, "by_part": {…}}; packed weights count what they stand for.
Json parameter_counts(const ModelContents& contents);
// Bytes of the weights as {"float32", "bfloat16", "int8", "int4"} and of the files; int8 and int4
// as `gradus quantize` stores them: projections with bf16 scales per output channel or per 64
// weights, everything else in bf16. Null for an adapter.
Json weight_memory(const ModelContents& contents);

}  // namespace gradus
