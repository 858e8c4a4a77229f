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
// OpenAI's cl100k.
inline constexpr const char* kCl100kPattern =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s+\z|\s*[\r\n]|\s+(?!\S)|\s)";
// Qwen 3.5: marks belong to letters.
inline constexpr const char* kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Mistral's, which cuts before a capital that follows a small letter.
inline constexpr const char* kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// OpenAI's o200k, also Llama 4's.
inline constexpr const char* kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Falcon's last step.
inline constexpr const char* kThreeDigits = "[0-9][0-9][0-9]";
// DeepSeek-V3's three steps.
inline constexpr const char* kDeepseek3Numbers = R"(\p{N}{1,3})";
inline constexpr const char* kDeepseek3Cjk = "[一-龥\u3040-ゟ゠-ヿ]+";
inline constexpr const char* kDeepseek3Pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Cuts text into words that cover it without gaps. Thread-safe.
class WordScanner {
 public:
  virtual ~WordScanner() = default;
  // Appends the end of every word of `text`, valid UTF-8 below 4 GiB.
  virtual void scan(std::string_view text, std::vector<uint32_t>& ends) const = 0;
};

// An expression that is written out, and the words of a split that isolates its matches: the
// matches, and what lies between two of them.
struct WordPattern {
  const char* pattern;
  bool matches_everything;  // nothing lies between two matches
  bool reads_bytes;         // looks for ASCII alone, in any bytes
  std::shared_ptr<const WordScanner> (*scanner)();
};
// Null for an expression that is not written out.
const WordPattern* find_word_pattern(const std::string& pattern);

// Cuts the words of each scanner by the next one.
std::shared_ptr<const WordScanner> chain_scanners(
    std::vector<std::shared_ptr<const WordScanner>> scanners);

}  // namespace gradus
