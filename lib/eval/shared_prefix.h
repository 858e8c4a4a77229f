// SPDX-License-Identifier: Apache-2.0
// How one request lies in the flat tokens of a pass: a shared prefix, then its branches side by
// side, and the attention that keeps the branches apart. Before the prefix may stand tokens that
// many requests begin with; these are not in the pass, but their keys and values are kept.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "eval/scoring.h"
#include "infer/recurrent_state.h"
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
  int64_t kept = 0;                    // tokens before it whose keys and values are kept
  int64_t prefix = 0;                  // tokens of the prefix
  std::vector<int64_t> branches = {};  // lengths of the branches, behind each other
  // bool, per window: without kept tokens [branch tokens, tokens()], else [tokens(), kept +
  // tokens()].
  at::Tensor mask = {};
  at::Tensor key_positions = {};  // int64, beside the mask: of all keys that it has columns for
  int64_t tokens() const;         // without the kept ones
};

// The flat tokens of some requests. Rows of `wanted` ascend.
struct FlatRequests {
  std::vector<TokenId> ids;
  std::vector<int64_t> positions;
  std::vector<SharedPrefix> layout;
  std::vector<WantedToken> wanted;
};

// The beginning of the first request's prompt whose sharing saves most, and how much of each
// request it covers: all of it or nothing. Empty when sharing does not pay.
struct CommonPrefix {
  std::vector<TokenId> ids;
  std::vector<int64_t> shared;  // per request: ids.size() or 0
};
CommonPrefix common_prefix(const std::vector<ScoreRequest>& requests);

// Keys and values of the common prefix, [tokens, Hkv, Dh] per layer, or the states after it.
struct KeptPrefix {
  std::vector<at::Tensor> keys, values;
  RecurrentState states;  // one row
};

// Requests whose sequences all have the same rotary frequencies, so that they may share keys. What
// a request's continuations make of different lengths is more than one of them.
struct AlikeRequests {
  std::vector<ScoreRequest> requests;
  struct Place {
    size_t request = 0, continuation = 0;
  };
  std::vector<std::vector<Place>> places;  // of each request's continuations among all
  int64_t length = 0;                      // of one of the sequences
};
std::vector<AlikeRequests> alike_requests(const std::vector<ScoreRequest>& requests,
                                          const ModelConfig& config);

// Tokens that a request takes in a pass when none are kept.
int64_t flat_tokens(const ScoreRequest& request);
// `kept` leading tokens of the prompt are left out of the pass; fewer than the prompt has.
void append_request(const ScoreRequest& request, int64_t number, int64_t kept, FlatRequests& flat);

// One causal sequence of `tokens`, whose keys and values or states are kept, layer by layer.
class KeepingAttention : public Attention {
 public:
  // `length`: of a sequence that begins with them.
  KeepingAttention(KeptPrefix& kept, int64_t tokens, int64_t length)
      : kept_(kept), tokens_(tokens), length_(length) {}
  std::vector<SequenceTokens> sequences() const override { return {{tokens_, length_}}; }
  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const ops::AttentionOptions& options) override;
  ops::SegmentStates past(int64_t layer, RecurrentPart part) override;

 private:
  KeptPrefix& kept_;
  int64_t tokens_, length_;
};

class SharedPrefixAttention : public Attention {
 public:
  // `kept` must outlive it; `states` of a recurrent model has one layer, which all use after each
  // other, and a row more than parts, the last for what is kept.
  SharedPrefixAttention(std::vector<SharedPrefix> layout, const KeptPrefix& kept,
                        RecurrentState states);
  std::vector<SequenceTokens> sequences() const override;
  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const ops::AttentionOptions& options) override;
  ops::SegmentStates past(int64_t layer, RecurrentPart part) override;

 private:
  const at::Tensor& mask(size_t part, int64_t window, c10::Device device);

  void attend_part(size_t part, int64_t layer, const std::array<at::Tensor, 3>& qkv,
                   const ops::AttentionOptions& options, std::vector<at::Tensor>& out);

  std::vector<SharedPrefix> layout_;
  const KeptPrefix& kept_;
  RecurrentState states_;
  std::vector<int64_t> mask_windows_;  // the window that a part's mask was made for
};

}  // namespace gradus
