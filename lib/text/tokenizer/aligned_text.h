// SPDX-License-Identifier: Apache-2.0
// Text on its way through normalizers and pre-tokenizers, which remembers the bytes of the input
// that each of its bytes came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace gradus {

// Bytes of the input; inputs are below 4 GiB.
struct SourceSpan {
  uint32_t begin = 0, end = 0;
};

enum class Tracking { kOff, kOn };

class AlignedText {
 public:
  AlignedText() = default;
  // A view of the input that starts at its byte `offset`; the caller keeps the bytes alive.
  AlignedText(std::string_view text, size_t offset, Tracking tracking)
      : view_(text), offset_(offset), tracking_(tracking) {}

  std::string_view view() const { return edited_ ? std::string_view(storage_) : view_; }
  size_t size() const { return view().size(); }
  Tracking tracking() const { return tracking_; }

  // The bytes of the input that bytes [begin, end) came from, extended to whole characters; with
  // tracking off only the start of an unedited text is known.
  ByteSpan source(size_t begin, size_t end) const;
  // Whether the first characters of the input were replaced by text that `tokenizers` takes to come
  // from the last one of them.
  bool starts_late() const { return starts_late_; }
  void start_late() { starts_late_ = true; }
  AlignedText slice(size_t begin, size_t end) const;

 private:
  friend class TextEditor;
  std::string_view view_;
  std::string storage_;
  std::vector<SourceSpan> spans_;  // one per byte of storage_
  size_t offset_ = 0;
  Tracking tracking_ = Tracking::kOff;
  bool edited_ = false, starts_late_ = false;
};

// Writes a changed copy of a text from left to right.
class TextEditor {
 public:
  explicit TextEditor(const AlignedText& from);
  // Copies bytes [begin, end) of the old text.
  void keep(size_t begin, size_t end);
  // Adds new text that stands for the old bytes [begin, end).
  void put(std::string_view text, size_t begin, size_t end);
  size_t size() const { return to_.storage_.size(); }
  AlignedText finish() { return std::move(to_); }

 private:
  const AlignedText& from_;
  AlignedText to_;
};

}  // namespace gradus
