// SPDX-License-Identifier: Apache-2.0
#include "store/inspect/state_size.h"

namespace gradus {
namespace {

// 0 where the key is missing or no size.
int64_t size_of(const Json& config, const char* key) {
  const Json value = config.value(key, Json());
  if (!value.is_number_integer()) return 0;
  const auto size = value.get<int64_t>();
  return size > 0 && size <= (int64_t{1} << 24) ? size : 0;
}

}  // namespace

Json state_bytes(const ModelContents& contents) {
  const Json& config = contents.config;
  if (contents.kind != ContentsKind::kModel || !config.is_object()) return nullptr;
  const Json family = config.value("model_type", Json());
  const int64_t D = size_of(config, "hidden_size"), L = size_of(config, "num_hidden_layers");
  int64_t numbers = 0;  // of the recurrence of one layer
  if (family == "rwkv") {
    const int64_t width = size_of(config, "attention_hidden_size");
    numbers = 3 * (width > 0 ? width : D);
  } else if (family == "rwkv7") {
    const int64_t head_dim = size_of(config, "head_dim"), heads = size_of(config, "num_heads");
    numbers = D * (head_dim > 0 ? head_dim : heads > 0 ? D / heads : 64);
  }
  return numbers > 0 && L > 0 ? Json(L * (4 * numbers + 2 * 2 * D)) : Json(nullptr);
}

}  // namespace gradus
