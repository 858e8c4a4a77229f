// SPDX-License-Identifier: Apache-2.0
// Models and data from a Hugging Face hub, by reference: hf://owner/name@revision/path
// (hub/reference.h). Everything here leaves a plain path as it is, so callers need not ask.
//
// Only what is needed is fetched (hub/selection.h), into the cache that Python's huggingface_hub
// uses (hub/cache.h), with every digest verified. What the cache holds already is not asked for
// again. When the hub cannot be reached, or HF_HUB_OFFLINE=1, the cache alone is used.
#pragma once

#include <string>

#include "base/files.h"

namespace gradus {

// The local path of a model folder, adapter folder, or (a reference with a file's path) file.
// Throws gradus::Error, one line with a hint: no such repository, revision or file, a gated model,
// no network, what is missing from the cache.
fs::path resolve_model(const std::string& reference);
// The same without the weights: configuration, tokenizer, chat template.
fs::path resolve_model_text(const std::string& reference);
// The same from the cache alone; empty when the cache lacks anything of it.
fs::path cached_model(const std::string& reference);
// The same for data: a file, or a folder with the data files directly in it.
fs::path resolve_data(const std::string& reference);

// The same reference with the commit that its revision stands at: hf://owner/name@COMMIT.
std::string pin_reference(const std::string& reference);
// hub_source() of a path in the cache; any other path as it is.
std::string recorded_path(const std::string& path);

}  // namespace gradus
