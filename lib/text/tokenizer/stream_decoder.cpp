// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "text/tokenizer.h"
#include "text/unicode.h"

namespace gradus {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, DecodeSpecial special)
    : tokenizer_(&tokenizer), special_(special) {}

std::string StreamDecoder::push(TokenId id) {
  const bool skipped = special_ == DecodeSpecial::kSkip && tokenizer_->is_special(id);
  if (skipped || !tokenizer_->has_token(id)) return {};
  return tokenizer_->decodes_by_concatenation() ? push_bytes(id) : push_in_context(id);
}

std::string StreamDecoder::push_bytes(TokenId id) {
  pending_ += tokenizer_->token_bytes(id);
  const size_t whole = pending_.size() - unfinished_utf8(pending_);
  std::string text = utf8_lossy(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return text;
}

std::string StreamDecoder::push_in_context(TokenId id) {
  ids_.push_back(id);
  if (tokenizer_->is_byte_token(id)) return {};
  const std::string text = tokenizer_->decode(ids_, special_);
  std::string fresh = text.substr(std::min(returned_bytes_, text.size()));
  returned_bytes_ = text.size();
  shorten_context();
  return fresh;
}

// Decoders treat the start of a text in their own way (they strip a space, or join words). Once a
// suffix of the ids gives any text by itself, it shows what follows it as the whole would. Only
// short ones are tried: in a run of tokens without text all of them would be in vain, each time.
void StreamDecoder::shorten_context() {
  constexpr size_t kLongestSuffix = 8;
  for (size_t keep = 1; keep < std::min(ids_.size(), kLongestSuffix + 1); ++keep) {
    const std::vector<TokenId> suffix(ids_.end() - static_cast<int64_t>(keep), ids_.end());
    const std::string text = tokenizer_->decode(suffix, special_);
    if (text.empty() || tokenizer_->is_byte_token(suffix.front())) continue;
    ids_ = suffix;
    returned_bytes_ = text.size();
    return;
  }
}

std::string StreamDecoder::finish() {
  std::string rest = utf8_lossy(pending_);
  if (!ids_.empty()) rest = tokenizer_->decode(ids_, special_).substr(returned_bytes_);
  ids_.clear();
  pending_.clear();
  returned_bytes_ = 0;
  return rest;
}

}  // namespace gradus
