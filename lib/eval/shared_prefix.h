// SPDX-License-Identifier: Apache-2.0
// How one request lies in the flat tokens of a pass: a shared prefix, then its branches side by
// side, and the attention that keeps the branches apart.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/scoring.h"
#include "model/attention.h"

namespace gradus {

// A token whose probability is wanted, predicted by a flat row.
struct WantedToken {
  int64_t row = 0;
  TokenId id = 0;
  int64_t request = 0;
  int64_t continuation = -1;  // -1: it belongs to every continuation of the request
};

struct SharedPrefix {
  int64_t start = 0;                   // first flat token
  int64_t prefix = 0;                  // tokens of the prefix
  std::vector<int64_t> branches = {};  // lengths of the branches, behind each other
  at::Tensor mask = {};                // [branch tokens, prefix + branch tokens] bool, per window
  int64_t tokens() const;
};

// The flat tokens of some requests. Rows of `wanted` ascend.
struct FlatRequests {
  std::vector<TokenId> ids;
  std::vector<int64_t> positions;
  std::vector<SharedPrefix> layout;
  std::vector<WantedToken> wanted;
};

// Tokens that a request takes in a pass.
int64_t flat_tokens(const ScoreRequest& request);
void append_request(const ScoreRequest& request, int64_t number, FlatRequests& flat);

class SharedPrefixAttention : public Attention {
 public:
  explicit SharedPrefixAttention(std::vector<SharedPrefix> layout);
  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const ops::AttentionOptions& options) override;

 private:
  const at::Tensor& mask(size_t part, int64_t window, c10::Device device);

  std::vector<SharedPrefix> layout_;
  std::vector<int64_t> mask_windows_;  // the window that a part's mask was made for
};

}  // namespace gradus
