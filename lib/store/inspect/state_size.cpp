// SPDX-License-Identifier: Apache-2.0
#include "store/inspect/state_size.h"

namespace gradus {

Json state_bytes(const ModelContents& contents) {
  const auto config = model_config_of(contents);
  if (!config || config->recurrent.kind == RecurrentKind::kNone) return nullptr;
  const int64_t D = config->hidden_size, L = config->num_hidden_layers;
  const int64_t numbers =  // of the recurrence of one layer
      config->recurrent.kind == RecurrentKind::kRwkv4 ? 3 * config->head_dim : D * config->head_dim;
  return L * (4 * numbers + 2 * 2 * D);
}

}  // namespace gradus
