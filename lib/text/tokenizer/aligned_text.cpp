// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/aligned_text.h"

namespace gradus {
namespace {

bool continues(char byte) { return (byte & 0xC0) == 0x80; }

}  // namespace

ByteSpan AlignedText::source(size_t begin, size_t end) const {
  if (edited_) {
    if (spans_.empty() || begin >= end) return {offset_, offset_};
    return {spans_[begin].begin, spans_[end - 1].end};
  }
  if (begin >= end) return {offset_ + begin, offset_ + begin};
  while (begin > 0 && continues(view_[begin])) --begin;
  while (end < view_.size() && continues(view_[end])) ++end;
  return {offset_ + begin, offset_ + end};
}

AlignedText AlignedText::slice(size_t begin, size_t end) const {
  AlignedText part(view_, offset_, tracking_);
  part.edited_ = edited_;
  part.starts_late_ = starts_late_;
  if (!edited_) {
    part.view_ = view_.substr(begin, end - begin);
    part.offset_ += begin;
    return part;
  }
  part.storage_ = storage_.substr(begin, end - begin);
  if (!spans_.empty()) part.spans_.assign(spans_.begin() + begin, spans_.begin() + end);
  return part;
}

TextEditor::TextEditor(const AlignedText& from) : from_(from) {
  to_.edited_ = true;
  to_.offset_ = from.offset_;
  to_.tracking_ = from.tracking_;
  to_.starts_late_ = from.starts_late_;
  to_.storage_.reserve(from.size() + from.size() / 8);
}

void TextEditor::keep(size_t begin, size_t end) {
  to_.storage_ += from_.view().substr(begin, end - begin);
  if (to_.tracking_ == Tracking::kOff) return;
  for (size_t i = begin; i < end; ++i) {
    const ByteSpan span = from_.source(i, i + 1);
    to_.spans_.push_back({static_cast<uint32_t>(span.begin), static_cast<uint32_t>(span.end)});
  }
}

void TextEditor::put(std::string_view text, size_t begin, size_t end) {
  to_.storage_ += text;
  if (to_.tracking_ == Tracking::kOff) return;
  const ByteSpan span = from_.source(begin, end);
  to_.spans_.insert(to_.spans_.end(), text.size(),
                    {static_cast<uint32_t>(span.begin), static_cast<uint32_t>(span.end)});
}

}  // namespace gradus
