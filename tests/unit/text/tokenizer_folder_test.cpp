// SPDX-License-Identifier: Apache-2.0
// Vocabularies from before tokenizer.json, with the JSON files beside them.
#include "base/error.h"
#include "base/files.h"
#include "base/temporary_folder.h"
#include "tokenizer_helpers.h"

using namespace gradus;
using Catch::Contains;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

// A folder with these files.
struct Folder {
  TemporaryFolder folder;

  explicit Folder(const Files& files) {
    for (const auto& [name, text] : files) write_file_atomic(folder.path() / name, text);
  }
  std::unique_ptr<Tokenizer> load() const { return load_tokenizer(folder.path()); }
  std::string refusal() const {
    try {
      load();
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }
};

using Ids = std::vector<TokenId>;

const std::pair<std::string, std::string> kVocab{"vocab.json", R"({"a": 0, "b": 1, "ab": 2,
  "Ġ": 3, "<|endoftext|>": 4})"};
const std::pair<std::string, std::string> kMerges{"merges.txt", "#version: 0.2\na b\n"};

}  // namespace

TEST_CASE("vocab.json and merges.txt are cut as their class says") {
  const Folder gpt2(Files{kVocab, kMerges, {"tokenizer_config.json", R"({"tokenizer_class":
    "GPT2TokenizerFast", "add_bos_token": true, "pad_token": "<pad>"})"}});
  const auto tokenizer = gpt2.load();
  CHECK(tokenizer->encode("ab<|endoftext|> a<pad>", SpecialTokens::kAdd) == Ids{4, 2, 4, 3, 0, 5});
  CHECK(tokenizer->decode({2, 3, 0, 5}, DecodeSpecial::kSkip) == "ab a");
  const Folder typed(Files{kVocab, kMerges, {"config.json", R"({"model_type": "gpt2"})"}});
  CHECK(typed.load()->encode("ab", SpecialTokens::kAdd) == Ids{2});
}

TEST_CASE("added tokens come from added_tokens.json or the configuration") {
  const Folder old(Files{kVocab,
                         kMerges,
                         {"added_tokens.json", R"({"<x>": 5, "<y>": 6})"},
                         {"special_tokens_map.json", R"({"additional_special_tokens": ["<y>"]})"},
                         {"tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})"}});
  const auto tokenizer = old.load();
  CHECK(tokenizer->encode("a<y>b<x>", SpecialTokens::kAdd) == Ids{0, 6, 1, 5});
  CHECK(tokenizer->is_special(6));
  CHECK_FALSE(tokenizer->is_special(5));
}

TEST_CASE("vocab.txt is BERT's") {
  const Folder bert(Files{{"vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##able\n!\n"},
                          {"tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})"}});
  const auto tokenizer = bert.load();
  CHECK(tokenizer->encode("Unable! [MASK]", SpecialTokens::kAdd) == Ids{2, 5, 6, 7, 4, 3});
  CHECK(tokenizer->decode({2, 5, 6, 7, 3}, DecodeSpecial::kSkip) == "unable!");
}

TEST_CASE("tekken.json has special tokens first") {
  const Folder tekken(Files{{"tekken.json", R"({"config": {"pattern": "\\s+|\\S+",
    "default_num_special_tokens": 3}, "vocab": [{"token_bytes": "YQ=="}, {"token_bytes": "Yg=="},
    {"token_bytes": "YWI="}], "special_tokens": [{"rank": 0, "token_str": "<unk>"},
    {"rank": 1, "token_str": "<s>"}]})"}});
  const auto tokenizer = tekken.load();
  CHECK(tokenizer->encode("<s>aab<SPECIAL_2>", SpecialTokens::kAdd) == Ids{1, 3, 5, 2});
}

TEST_CASE("vocabulary files that do not say enough are refused") {
  CHECK_THAT(Folder(Files{kVocab, kMerges}).refusal(), Contains("nothing says how"));
  CHECK_THAT(Folder(Files{kVocab,
                          kMerges,
                          {"tokenizer_config.json", R"({"tokenizer_class": "MysteryTokenizer"})"}})
                 .refusal(),
             Contains("MysteryTokenizer") && Contains("GPT2Tokenizer"));
  CHECK_THAT(
      Folder(Files{kVocab, {"tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})"}})
          .refusal(),
      Contains("merges.txt"));
  CHECK_THAT(
      Folder(Files{{"tekken.json", R"({"config": {"pattern": "a"}, "vocab": []})"}}).refusal(),
      Contains("special_tokens"));
  CHECK_THAT(
      Folder(
          Files{kVocab,
                kMerges,
                {"tokenizer_config.json",
                 R"({"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {"x": "<a>"}})"}})
          .refusal(),
      Contains("token id"));
}
