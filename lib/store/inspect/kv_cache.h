// SPDX-License-Identifier: Apache-2.0
// The size of a model's key/value cache in bf16, from its configuration alone.
#pragma once

#include "base/json.h"
#include "store/inspect/contents.h"

namespace gradus {

// {"bytes_per_1000_tokens", "context": the longest sequence, "bytes_at_context", "layers",
// "window_layers": those that keep a sliding window only, "window": its tokens}; null when the
// configuration does not say (an adapter, a model without attention). The first number is for
// sequences shorter than the window.
Json kv_cache_size(const ModelContents& contents);

}  // namespace gradus
