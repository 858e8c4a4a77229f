// SPDX-License-Identifier: Apache-2.0
#include "eval/shared_prefix.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

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

// Which keys the branch tokens see: the prefix, and their own branch up to themselves.
at::Tensor branch_mask(const SharedPrefix& part, int64_t window) {
  const int64_t rows = part.tokens() - part.prefix;
  at::Tensor mask = at::zeros({rows, part.tokens()}, at::kBool);
  auto* out = mask.data_ptr<bool>();
  int64_t branch_start = 0;
  for (const int64_t length : part.branches) {
    for (int64_t i = 0; i < length; ++i) {
      bool* row = out + (branch_start + i) * part.tokens();
      const int64_t first = window > 0 ? part.prefix + i - window + 1 : 0;  // a position
      std::fill(row + std::clamp<int64_t>(first, 0, part.prefix), row + part.prefix, true);
      const int64_t own = std::max<int64_t>(first - part.prefix, 0);
      std::fill(row + part.prefix + branch_start + own, row + part.prefix + branch_start + i + 1,
                true);
    }
    branch_start += length;
  }
  return mask;
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

void append_request(const ScoreRequest& request, int64_t number, FlatRequests& flat) {
  check_request(request);
  const size_t shared = shared_length(request);
  const auto& continuations = request.continuations;
  SharedPrefix part{.start = static_cast<int64_t>(flat.ids.size()),
                    .prefix = static_cast<int64_t>(request.prompt.size() + shared)};
  const auto put = [&](TokenId id, size_t position) {
    flat.ids.push_back(id);
    flat.positions.push_back(static_cast<int64_t>(position));
  };
  const auto last_row = [&] { return static_cast<int64_t>(flat.ids.size()) - 1; };
  for (size_t i = 0; i < request.prompt.size(); ++i) put(request.prompt[i], i);
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

SharedPrefixAttention::SharedPrefixAttention(std::vector<SharedPrefix> layout)
    : layout_(std::move(layout)), mask_windows_(layout_.size(), -1) {}

const at::Tensor& SharedPrefixAttention::mask(size_t part, int64_t window, c10::Device device) {
  if (mask_windows_[part] != window) {
    layout_[part].mask = branch_mask(layout_[part], window).to(device);
    mask_windows_[part] = window;
  }
  return layout_[part].mask;
}

at::Tensor SharedPrefixAttention::attend(int64_t, const at::Tensor& q, const at::Tensor& k,
                                         const at::Tensor& v,
                                         const ops::AttentionOptions& options) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < layout_.size(); ++i) {
    const SharedPrefix& part = layout_[i];
    const int64_t all = part.tokens(), branched = all - part.prefix;
    const auto rows = [&](const at::Tensor& x, int64_t from, int64_t count) {
      return x.narrow(0, part.start + from, count);
    };
    parts.push_back(ops::packed_attention(rows(q, 0, part.prefix), rows(k, 0, part.prefix),
                                          rows(v, 0, part.prefix), {0, part.prefix}, options));
    if (branched == 0) continue;
    parts.push_back(ops::masked_attention(rows(q, part.prefix, branched), rows(k, 0, all),
                                          rows(v, 0, all), mask(i, options.window, q.device()),
                                          options));
  }
  return at::cat(parts, 0);
}

}  // namespace gradus
