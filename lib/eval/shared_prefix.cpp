// SPDX-License-Identifier: Apache-2.0
#include "eval/shared_prefix.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "model/rope.h"

namespace gradus {
namespace {

// How many tokens all continuations begin with, each keeping at least its last token.
size_t common_length(const std::vector<std::vector<TokenId>>& continuations) {
  const std::vector<TokenId>& first = continuations.front();
  size_t length = first.size() - 1;
  for (const auto& other : continuations) {
    length = std::min(length, other.size() - 1);
    const auto end = first.begin() + static_cast<ptrdiff_t>(length);
    length =
        static_cast<size_t>(std::mismatch(first.begin(), end, other.begin()).first - first.begin());
  }
  return length;
}

// A request with one continuation is a plain sequence.
size_t shared_length(const ScoreRequest& request) {
  if (request.continuations.size() == 1) return request.continuations.front().size() - 1;
  return common_length(request.continuations);
}

void check_request(const ScoreRequest& request) {
  if (request.prompt.empty()) throw Error("a prompt to score has no tokens");
  if (request.continuations.empty()) throw Error("a prompt has nothing to score");
  for (const auto& continuation : request.continuations) {
    if (continuation.empty()) throw Error("a continuation to score has no tokens");
  }
}

// Which keys the rows of a part see: what stands before, and their own branch up to themselves.
// Rows begin with the branches when nothing is kept, since a kernel does the rest; else with the
// prefix, which is then the first branch.
at::Tensor visible_keys(const SharedPrefix& part, int64_t window) {
  std::vector<int64_t> runs = part.branches;
  if (part.kept > 0) runs.insert(runs.begin(), part.prefix);
  const int64_t keys = part.kept + part.tokens();
  at::Tensor mask =
      at::zeros({std::accumulate(runs.begin(), runs.end(), int64_t{0}), keys}, at::kBool);
  bool* row = mask.data_ptr<bool>();
  int64_t run_start =
      part.kept > 0 ? part.kept : part.prefix;  // a key, and for the first a position
  for (size_t run = 0; run < runs.size(); ++run) {
    const bool is_prefix = part.kept > 0 && run == 0;
    const int64_t before = is_prefix ? part.kept : part.kept + part.prefix;  // keys that all see
    for (int64_t i = 0; i < runs[run]; ++i, row += keys) {
      const int64_t first = window > 0 ? before + i - window + 1 : 0;  // a position
      std::fill(row + std::clamp<int64_t>(first, 0, before), row + before, true);
      const int64_t own = std::max<int64_t>(first - before, 0);
      std::fill(row + run_start + own, row + run_start + i + 1, true);
    }
    run_start += runs[run];
  }
  return mask;
}

// The positions in the text of the keys that visible_keys has columns for.
at::Tensor key_positions(const SharedPrefix& part) {
  at::Tensor positions = at::zeros({part.kept + part.tokens()}, at::kLong);
  auto* out = positions.data_ptr<int64_t>();
  const int64_t before = part.kept + part.prefix;
  std::iota(out, out + before, 0);
  out += before;
  for (const int64_t length : part.branches) {
    std::iota(out, out + length, before);
    out += length;
  }
  return positions;
}

// Sharing fewer tokens than this costs more than it saves: masked attention is slower.
constexpr size_t kLeastShared = 32;

size_t equal_start(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const auto end = a.begin() + static_cast<ptrdiff_t>(std::min(a.size(), b.size()) - 1);
  return static_cast<size_t>(std::mismatch(a.begin(), end, b.begin()).first - a.begin());
}

}  // namespace

int64_t SharedPrefix::tokens() const {
  return std::accumulate(branches.begin(), branches.end(), prefix);
}

int64_t flat_tokens(const ScoreRequest& request) {
  check_request(request);
  const size_t shared = shared_length(request);
  size_t total = request.prompt.size() + shared;
  for (const auto& continuation : request.continuations) total += continuation.size() - 1 - shared;
  return static_cast<int64_t>(total);
}

std::vector<AlikeRequests> alike_requests(const std::vector<ScoreRequest>& requests,
                                          const ModelConfig& config) {
  std::map<int64_t, AlikeRequests> alike;
  for (size_t r = 0; r < requests.size(); ++r) {
    check_request(requests[r]);
    std::set<int64_t> begun;
    for (size_t c = 0; c < requests[r].continuations.size(); ++c) {
      const std::vector<TokenId>& continuation = requests[r].continuations[c];
      const auto length = static_cast<int64_t>(requests[r].prompt.size() + continuation.size()) - 1;
      const int64_t shortest = shortest_alike(config, length);
      AlikeRequests& group = alike[shortest];
      group.length = length;
      if (begun.insert(shortest).second) {
        group.requests.push_back({requests[r].prompt, {}});
        group.places.emplace_back();
      }
      group.requests.back().continuations.push_back(continuation);
      group.places.back().push_back({r, c});
    }
  }
  std::vector<AlikeRequests> list;
  for (auto& [length, group] : alike) list.push_back(std::move(group));
  return list;
}

CommonPrefix common_prefix(const std::vector<ScoreRequest>& requests) {
  CommonPrefix common{.ids = {}, .shared = std::vector<int64_t>(requests.size(), 0)};
  if (requests.empty()) return common;
  for (const ScoreRequest& request : requests) check_request(request);
  const std::vector<TokenId>& first = requests.front().prompt;
  std::vector<size_t> equal;
  for (const ScoreRequest& request : requests) equal.push_back(equal_start(first, request.prompt));
  std::vector<size_t> sorted = equal;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  size_t length = 0, most_saved = 0;
  for (size_t i = 1; i < sorted.size(); ++i) {  // i others share the first sorted[i] tokens
    if (sorted[i] < kLeastShared || sorted[i] * i <= most_saved) continue;
    length = sorted[i];
    most_saved = sorted[i] * i;
  }
  if (length == 0) return common;
  common.ids.assign(first.begin(), first.begin() + static_cast<ptrdiff_t>(length));
  for (size_t i = 0; i < requests.size(); ++i)
    common.shared[i] = equal[i] >= length ? static_cast<int64_t>(length) : 0;
  return common;
}

void append_request(const ScoreRequest& request, int64_t number, int64_t kept, FlatRequests& flat) {
  check_request(request);
  const size_t shared = shared_length(request);
  const auto& continuations = request.continuations;
  SharedPrefix part{.start = static_cast<int64_t>(flat.ids.size()),
                    .kept = kept,
                    .prefix = static_cast<int64_t>(request.prompt.size() + shared) - kept};
  const auto put = [&](TokenId id, size_t position) {
    flat.ids.push_back(id);
    flat.positions.push_back(static_cast<int64_t>(position));
  };
  const auto last_row = [&] { return static_cast<int64_t>(flat.ids.size()) - 1; };
  for (auto i = static_cast<size_t>(kept); i < request.prompt.size(); ++i)
    put(request.prompt[i], i);
  for (size_t i = 0; i < shared; ++i) {
    flat.wanted.push_back({last_row(), continuations.front()[i], number, -1});
    put(continuations.front()[i], request.prompt.size() + i);
  }
  for (size_t c = 0; c < continuations.size(); ++c)
    flat.wanted.push_back({last_row(), continuations[c][shared], number, static_cast<int64_t>(c)});
  for (size_t c = 0; c < continuations.size(); ++c) {
    for (size_t i = shared; i + 1 < continuations[c].size(); ++i) {
      put(continuations[c][i], request.prompt.size() + i);
      flat.wanted.push_back({last_row(), continuations[c][i + 1], number, static_cast<int64_t>(c)});
    }
    const size_t length = continuations[c].size() - 1 - shared;
    if (length > 0) part.branches.push_back(static_cast<int64_t>(length));
  }
  flat.layout.push_back(std::move(part));
}

at::Tensor KeepingAttention::attend(int64_t, const at::Tensor& q, const at::Tensor& k,
                                    const at::Tensor& v, const ops::AttentionOptions& options) {
  kept_.keys.push_back(k.contiguous());
  kept_.values.push_back(v.contiguous());
  return ops::packed_attention(q, k, v, {0, q.size(0)}, options);
}

ops::SegmentStates KeepingAttention::past(int64_t layer, RecurrentPart part) {
  return {.waves = {{{.begin = 0, .end = tokens_, .to = 0}}},
          .rows = kept_.states.rows(layer, part)};
}

SharedPrefixAttention::SharedPrefixAttention(std::vector<SharedPrefix> layout,
                                             const KeptPrefix& kept, RecurrentState states)
    : layout_(std::move(layout)),
      kept_(kept),
      states_(std::move(states)),
      mask_windows_(layout_.size(), -1) {}

// A part's sequences are alike, so that any of their lengths will do.
std::vector<SequenceTokens> SharedPrefixAttention::sequences() const {
  std::vector<SequenceTokens> all;
  for (const SharedPrefix& part : layout_) {
    const int64_t branch = part.branches.empty() ? 0 : part.branches.front();
    all.push_back({.count = part.tokens(), .length = part.kept + part.prefix + branch});
  }
  return all;
}

// Prefixes in a first wave, from what is kept where they continue it; then their branches.
ops::SegmentStates SharedPrefixAttention::past(int64_t layer, RecurrentPart part) {
  ops::SegmentStates states{.waves = {{}}, .rows = states_.rows(0, part)};
  const auto kept_row = static_cast<int64_t>(layout_.size());
  if (!kept_.states.empty())
    states.rows.select(0, kept_row).copy_(kept_.states.rows(layer, part).select(0, 0));
  std::vector<ops::StateSegment> branches;
  for (size_t i = 0; i < layout_.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    int64_t begin = layout_[i].start + layout_[i].prefix;
    states.waves[0].push_back({.begin = layout_[i].start,
                               .end = begin,
                               .from = layout_[i].kept > 0 ? kept_row : -1,
                               .to = row});
    for (const int64_t length : layout_[i].branches) {
      branches.push_back({.begin = begin, .end = begin + length, .from = row});
      begin += length;
    }
  }
  if (!branches.empty()) states.waves.push_back(std::move(branches));
  return states;
}

const at::Tensor& SharedPrefixAttention::mask(size_t part, int64_t window, c10::Device device) {
  if (mask_windows_[part] != window) {
    layout_[part].mask = visible_keys(layout_[part], window).to(device);
    layout_[part].key_positions = key_positions(layout_[part]).to(device);
    mask_windows_[part] = window;
  }
  return layout_[part].mask;
}

void SharedPrefixAttention::attend_part(size_t number, int64_t layer,
                                        const std::array<at::Tensor, 3>& qkv,
                                        const ops::AttentionOptions& options,
                                        std::vector<at::Tensor>& out) {
  const SharedPrefix& part = layout_[number];
  const at::Tensor &q = qkv[0], &k = qkv[1], &v = qkv[2];  // of the part's tokens
  const auto masked = [&](const at::Tensor& queries, const at::Tensor& keys,
                          const at::Tensor& values) {
    const at::Tensor& visible = mask(number, options.window, q.device());
    ops::AttentionOptions here = options;
    here.key_positions = layout_[number].key_positions;
    out.push_back(ops::masked_attention(queries, keys, values, visible, here));
  };
  if (part.kept > 0) {
    const auto at = static_cast<size_t>(layer);
    return masked(q, at::cat({kept_.keys[at], k}, 0), at::cat({kept_.values[at], v}, 0));
  }
  const auto prefix = [&](const at::Tensor& x) { return x.narrow(0, 0, part.prefix); };
  out.push_back(ops::packed_attention(prefix(q), prefix(k), prefix(v), {0, part.prefix}, options));
  const int64_t branched = part.tokens() - part.prefix;
  if (branched > 0) masked(q.narrow(0, part.prefix, branched), k, v);
}

at::Tensor SharedPrefixAttention::attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                         const at::Tensor& v,
                                         const ops::AttentionOptions& options) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < layout_.size(); ++i) {
    const auto rows = [&](const at::Tensor& x) {
      return x.narrow(0, layout_[i].start, layout_[i].tokens());
    };
    attend_part(i, layer, {rows(q), rows(k), rows(v)}, options, parts);
  }
  return at::cat(parts, 0);
}

}  // namespace gradus
