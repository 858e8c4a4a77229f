// SPDX-License-Identifier: Apache-2.0
// A report on a model folder, adapter folder or GGUF file, read from its files alone: no weights
// are loaded and no family needs to be known.
#pragma once

#include <string>

#include "base/digest.h"
#include "base/json.h"

namespace gradus {

// The keys are listed in docs/model.md. Whole documents (config, lineage, metadata) lie under
// "documents".
Json inspect_model(const fs::path& path, DigestCache& digests);
// For people: everything but the documents.
std::string inspect_text(const Json& report);

// The parts that parameters are counted in: "embedding", "attention", "mlp", "experts", "norms",
// "output", "adapter", "quantisation" (scales, zero points, indices), "other".
std::string part_of(const std::string& tensor);

}  // namespace gradus
