// SPDX-License-Identifier: Apache-2.0
// The regular expressions by which most byte-level tokenizers cut text, written out by hand: they
// find the same words several times faster. Patterns that are not known here go to the regular
// expression engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gradus {

// GPT-2's split, which ByteLevel does by itself.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Cuts text into words that cover it without gaps. Thread-safe.
class WordScanner {
 public:
  virtual ~WordScanner() = default;
  // Appends the end of every word of `text`, valid UTF-8 below 4 GiB.
  virtual void scan(std::string_view text, std::vector<uint32_t>& ends) const = 0;
};

// Null for a pattern that is not written out.
std::shared_ptr<const WordScanner> find_word_scanner(const std::string& pattern);

}  // namespace gradus
