// SPDX-License-Identifier: Apache-2.0
// One request alone, without an engine: what tests compare engines and servers with.
#pragma once

#include "infer/pass.h"
#include "infer/sampler.h"

namespace gradus {

inline std::vector<GeneratedToken> generate(const Transformer& model,
                                            const GenerationRequest& request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  KvCache cache(model.config(), {.slots = 1, .capacity = prompt + request.max_tokens},
                model.dtype(), model.device());
  Sampler sampler(request.sampling);
  std::vector<GeneratedToken> tokens;
  PassSegment segment{.slot = 0, .past = 0, .ids = request.prompt};
  while (static_cast<int64_t>(tokens.size()) < request.max_tokens) {
    const at::Tensor logits = run_pass(model, cache, {segment});
    const std::span row(logits.const_data_ptr<float>(), static_cast<size_t>(logits.size(1)));
    tokens.push_back(describe_token(row, sampler.next(row), request.top_logprobs));
    segment.past += static_cast<int64_t>(segment.ids.size());
    segment.ids = {tokens.back().id};
  }
  return tokens;
}

}  // namespace gradus
