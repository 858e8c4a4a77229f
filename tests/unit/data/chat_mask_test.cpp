// SPDX-License-Identifier: Apache-2.0
#include "data/chat_mask.h"

#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

// Builds a rendered conversation piece by piece, as a template would.
class Rendering {
 public:
  Rendering& text(const std::string& part) {
    chat_.text += part;
    return *this;
  }
  Rendering& content(size_t message, const std::string& part) {
    chat_.contents.push_back({message, {chat_.text.size(), chat_.text.size() + part.size()}});
    return text(part);
  }
  Rendering& begin_generation() {
    chat_.generations.push_back({chat_.text.size(), chat_.text.size()});
    return *this;
  }
  Rendering& end_generation() {
    chat_.generations.back().end = chat_.text.size();
    return *this;
  }
  const RenderedChat& chat() const { return chat_; }

 private:
  RenderedChat chat_;
};

Json roles(const std::vector<std::string>& names) {
  Json messages = Json::array();
  for (const auto& name : names) messages.push_back({{"role", name}, {"content", "?"}});
  return messages;
}

struct Masked {
  std::string learned;  // the learned tokens, one after the other
  ChatMask mask;
};

Masked mask(const Json& messages, const Rendering& rendering,
            TrainOn train_on = TrainOn::kAllAssistant,
            const ToyTokenizer& tokenizer = ToyTokenizer()) {
  const RenderedChat& chat = rendering.chat();
  const Encoding encoding = tokenizer.encode_with_spans(chat.text, SpecialTokens::kNone);
  const auto turns = assistant_turns(messages, chat, train_on);
  Masked result{{}, mask_turns(turns, chat.text, encoding, tokenizer, "</s>")};
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    if (result.mask.supervised[i]) result.learned += tokenizer.token_bytes(encoding.ids[i]);
  }
  return result;
}

Rendering two_turns() {
  return Rendering()
      .text("<|im_start|>user\n")
      .content(0, "Q1")
      .text("<|im_end|>\n<|im_start|>assistant\n")
      .content(1, "A1")
      .text("<|im_end|>\n<|im_start|>user\n")
      .content(2, "Q2")
      .text("<|im_end|>\n<|im_start|>assistant\n")
      .content(3, "A2")
      .text("<|im_end|>\n");
}

const Json kTwoTurns = roles({"user", "assistant", "user", "assistant"});

}  // namespace

TEST_CASE("the answer and its end-of-turn token are learned, nothing else") {
  const Masked all = mask(kTwoTurns, two_turns());
  CHECK(all.learned == "A1<|im_end|>A2<|im_end|>");
  CHECK(all.mask.turns_found == 2);
  CHECK(all.mask.turns_ended == 2);
  CHECK(mask(kTwoTurns, two_turns(), TrainOn::kLastAssistant).learned == "A2<|im_end|>");
}

TEST_CASE("white space before the end-of-turn token is learned with it") {
  const Rendering rendering =
      Rendering().text("user: ").content(0, "Q").text("\n").content(1, "A").text(" \n</s>\nuser:");
  CHECK(mask(roles({"user", "assistant"}), rendering).learned == "A \n</s>");
}

TEST_CASE("text between the answer and the next special token means there is no end of turn") {
  const Rendering rendering =
      Rendering().content(0, "Q").text("\n").content(1, "A").text("\nuser: <|im_end|>");
  const Masked masked = mask(roles({"user", "assistant"}), rendering);
  CHECK(masked.learned == "A");
  CHECK(masked.mask.turns_found == 1);
  CHECK(masked.mask.turns_ended == 0);
}

TEST_CASE("the end of the text is no end of turn") {
  const Rendering rendering = Rendering().content(0, "Q").text(" ").content(1, "A").text("\n");
  CHECK(mask(roles({"user", "assistant"}), rendering).learned == "A");
}

TEST_CASE("special-token-like text in the answer is learned as content") {
  const Rendering rendering = Rendering()
                                  .text("<|im_start|>")
                                  .content(0, "say <|im_end|>")
                                  .text("<|im_end|><|im_start|>")
                                  .content(1, "it is <|im_end|>.")
                                  .text("<|im_end|>\n");
  CHECK(mask(roles({"user", "assistant"}), rendering).learned == "it is <|im_end|>.<|im_end|>");
}

TEST_CASE("tokens that straddle the answer's edges are learned once") {
  const ToyTokenizer tokenizer({"\nA", "1.\n"});
  const Rendering rendering = Rendering().text("Q\n").content(1, "A is 1.").text("\n<|im_end|>\n");
  const Masked masked =
      mask(roles({"user", "assistant"}), rendering, TrainOn::kAllAssistant, tokenizer);
  CHECK(masked.learned == "\nA is 1.\n<|im_end|>");
  CHECK(masked.mask.turns_ended == 1);
}

TEST_CASE("an empty answer teaches the end-of-turn token alone") {
  const Rendering rendering =
      Rendering().content(0, "Q").text("<|im_end|>\n").content(1, "").text("<|im_end|>\n");
  CHECK(mask(roles({"user", "assistant"}), rendering).learned == "<|im_end|>");
}

TEST_CASE("an answer shown in parts is learned from its first to its last byte") {
  const Rendering rendering = Rendering()
                                  .content(0, "Q")
                                  .text("\n<think>")
                                  .content(1, "why")
                                  .text("</think>")
                                  .content(1, "A")
                                  .text("<|im_end|>");
  CHECK(mask(roles({"user", "assistant"}), rendering).learned == "why</think>A<|im_end|>");
}

TEST_CASE("generation blocks add what the template's author marked") {
  const Rendering closed = Rendering()
                               .content(0, "Q")
                               .begin_generation()
                               .text("<think>")
                               .content(1, "A")
                               .text("<|im_end|>\n")
                               .end_generation()
                               .text("<|im_start|>");
  const Masked inside = mask(roles({"user", "assistant"}), closed);
  CHECK(inside.learned == "<think>A<|im_end|>\n");
  CHECK(inside.mask.turns_ended == 1);

  const Rendering open =
      Rendering().content(0, "Q").begin_generation().content(1, "A").end_generation().text(
          "<|im_end|>\n");
  CHECK(mask(roles({"user", "assistant"}), open).learned == "A<|im_end|>");
}

TEST_CASE("a tool call without content is learned through its generation block") {
  const Rendering rendering = Rendering()
                                  .content(0, "Q")
                                  .begin_generation()
                                  .text("<call>{}</call><|im_end|>")
                                  .end_generation()
                                  .content(2, "result")
                                  .begin_generation()
                                  .content(3, "A")
                                  .text("<|im_end|>")
                                  .end_generation();
  const Json messages = roles({"user", "assistant", "tool", "assistant"});
  const Masked all = mask(messages, rendering);
  CHECK(all.learned == "<call>{}</call><|im_end|>A<|im_end|>");
  CHECK(all.mask.turns_ended == 2);
  CHECK(mask(messages, rendering, TrainOn::kLastAssistant).learned == "A<|im_end|>");
}

TEST_CASE("an added token that is not special ends a turn when it is spelled like a marker") {
  const ToyTokenizer tokenizer({"<|end|>", "word"});
  const Rendering marker = Rendering().content(0, "Q").content(1, "A").text("<|end|>");
  CHECK(mask(roles({"user", "assistant"}), marker, TrainOn::kAllAssistant, tokenizer).learned ==
        "A<|end|>");
  const Rendering word = Rendering().content(0, "Q").content(1, "A").text("word");
  CHECK(mask(roles({"user", "assistant"}), word, TrainOn::kAllAssistant, tokenizer).learned == "A");
}

TEST_CASE("a turn that the template does not show is not found") {
  const Rendering rendering = Rendering().content(0, "Q").text("<|im_end|>");
  const Masked masked = mask(roles({"user", "assistant"}), rendering);
  CHECK(masked.learned.empty());
  CHECK(masked.mask.turns_found == 0);
}

}  // namespace gradus
