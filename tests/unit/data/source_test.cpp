// SPDX-License-Identifier: Apache-2.0
#include "data/source.h"

#include "base/hash.h"
#include "data/sample.h"
#include "data/training_data.h"
#include "support/catch.h"
#include "toy.h"

namespace gradus {
namespace {

constexpr const char* kChatMl =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}";
constexpr const char* kBare = "{% for message in messages %}{{ message.content }}{% endfor %}";

struct Fixture {
  explicit Fixture(const std::string& content, const std::string& name = "a.jsonl") {
    write(content, name);
    data.cache_dir = folder / "cache";
    data.context_length = 256;
    source.name = "manual";
    source.licence = "CC0-1.0";
    source.path = folder / name;
  }
  void write(const std::string& content, const std::string& name = "a.jsonl") {
    write_file_atomic(folder / name, content);
  }
  std::shared_ptr<const DataSource> open(std::optional<ChatTemplate> chat = std::nullopt) {
    const TextTools tools = toy_tools(std::move(chat));
    return open_source(source, data, tools);
  }
  std::string error(std::optional<ChatTemplate> chat = std::nullopt) {
    return error_of([&] { open(std::move(chat)); });
  }

  TemporaryFolder folder;
  DataRecipe data;
  SourceRecipe source;
};

ChatTemplate chatml() { return ChatTemplate(kChatMl, "chatml"); }

std::string text_of(const DataSource& source, int64_t document) {
  const ToyTokenizer tokenizer;
  const TokenStore& store = source.store();
  std::string text;
  for (int64_t i = store.document_begin(document); i < store.document_end(document); ++i)
    text += tokenizer.token_bytes(store.id(i));
  return text;
}

std::string many_rows(int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text +=
        Json{{"text", cat("row ", i, std::string(static_cast<size_t>(i % 97), 'x'))}}.dump() + "\n";
  return text;
}

}  // namespace

TEST_CASE("messages_key is refused for rows without turns") {
  Fixture test(R"({"instruction":"Q","output":"A"})");
  test.source.messages_key = "turns";
  test.source.shape = GENERATE(RowShape::kAuto, RowShape::kAlpaca);
  const std::string message = test.error(chatml());
  CHECK(message.find("messages_key") != std::string::npos);
  CHECK(message.find("turns") != std::string::npos);
}

TEST_CASE("text documents get the tokenizer's special tokens and an end token") {
  Fixture fixture("{\"text\": \"ab\"}\n{\"text\": \"\"}\n{\"text\": \"c</s>\"}\n");
  const auto source = fixture.open();
  REQUIRE(source->store().documents() == 3);
  CHECK(text_of(*source, 0) == "<s>ab</s>");
  CHECK(text_of(*source, 1) == "<s></s>");
  CHECK(text_of(*source, 2) == "<s>c</s>");
  CHECK(source->place(2) == (fixture.folder / "a.jsonl").string() + ":3");
  fixture.data.append_eos = false;
  fixture.data.add_special_tokens = false;
  CHECK(text_of(*fixture.open(), 0) == "ab");
}

TEST_CASE("tokens, order and lines do not depend on the cores that did the work") {
  Fixture fixture(many_rows(5000));
  const auto source = fixture.open();
  REQUIRE(source->store().documents() == 5000);
  bool same = true;
  for (int64_t i = 0; i < 5000; ++i) {
    const std::string expected =
        cat("<s>row ", i, std::string(static_cast<size_t>(i % 97), 'x'), "</s>");
    same = same && text_of(*source, i) == expected && source->store().place(i).line == i + 1;
  }
  CHECK(same);
}

TEST_CASE("the cache is reused for the same data and made anew for other data or keys") {
  Fixture fixture(many_rows(10));
  CHECK_FALSE(fixture.open()->report().from_cache);
  const auto reused = fixture.open();
  CHECK(reused->report().from_cache);
  CHECK(reused->report().tokens > 0);
  CHECK(reused->report().preview == fixture.open()->report().preview);

  fixture.data.append_eos = false;
  CHECK_FALSE(fixture.open()->report().from_cache);
  fixture.data.append_eos = true;
  fixture.data.context_length = 4096;
  fixture.source.share = 0.5;
  CHECK(fixture.open()->report().from_cache);

  fixture.write(many_rows(11));
  CHECK(fixture.open()->store().documents() == 11);
}

TEST_CASE("a damaged cache is rebuilt") {
  Fixture fixture(many_rows(10));
  fixture.open();
  for (const auto& entry : fs::directory_iterator(fixture.data.cache_dir)) {
    std::string bytes = read_file(entry.path());
    bytes[20] = static_cast<char>(bytes[20] ^ 1);
    write_file_atomic(entry.path(), bytes);
  }
  CHECK_FALSE(fixture.open()->report().from_cache);
  CHECK(fixture.open()->report().from_cache);
}

TEST_CASE("a bad line is an error with its place, or skipped and counted by reason") {
  Fixture fixture("{\"text\": \"ok\"}\nnot json\n{\"body\": 1}\n{\"text\": \"" +
                  std::string(200, 'y') + "\"}\n{\"text\": \"fine\"}\n");
  fixture.data.max_record_bytes = 100;
  CHECK(contains(fixture.error(), "a.jsonl:2:2: is not valid JSON"));
  CHECK_FALSE(fs::exists(fs::path(fixture.data.cache_dir) / "x"));
  fixture.data.on_bad_line = BadLinePolicy::kSkip;
  const auto source = fixture.open();
  CHECK(source->store().documents() == 2);
  CHECK(source->store().place(1).line == 5);
  CHECK(source->report().bad_lines == std::map<std::string, int64_t>{{"cannot be parsed", 1},
                                                                     {"does not fit the shape", 1},
                                                                     {"too long", 1}});
}

TEST_CASE("max_documents reads only the first documents") {
  Fixture fixture(many_rows(5000));
  fixture.source.max_documents = 12;
  CHECK(fixture.open()->store().documents() == 12);
}

TEST_CASE("conversations are rendered, masked and reported") {
  Fixture fixture(
      R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})"
      "\n"
      R"({"messages":[{"role":"user","content":"P"},{"role":"assistant","content":""}]})"
      "\n");
  const auto source = fixture.open(chatml());
  CHECK(text_of(*source, 0) ==
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n");
  const SourceReport& report = source->report();
  CHECK(report.shape == "messages");
  CHECK(report.preview == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n⟦A<|im_end|>⟧\n");
  CHECK(report.chat_samples == 2);
  CHECK(report.chat_samples_ended == 2);
  CHECK(report.supervised_tokens == 3);  // A, its end of turn, the end of the empty turn
  CHECK(contains(report_table({report}), "100.0 %"));
  CHECK(report_json(report).at("end_of_turn_share") == 1.0);
}

TEST_CASE("masks that learn nothing or everything are refused") {
  Fixture nothing(R"({"messages":[{"role":"user","content":"Q"}]})");
  CHECK(contains(nothing.error(chatml()), "no token of any conversation would be learned"));
  Fixture everything(R"({"messages":[{"role":"assistant","content":"Hello"}]})");
  CHECK(contains(everything.error(ChatTemplate(kBare, "bare")),
                 "every token of every conversation would be learned"));
  everything.data.train_on = TrainOn::kEverything;
  CHECK(everything.error(ChatTemplate(kBare, "bare")).empty());
}

TEST_CASE("an answer that the template leaves open is closed by append_eos, or reported") {
  Fixture fixture(
      R"({"messages":[{"role":"user","content":"Why?"},{"role":"assistant","content":"A"}]})");
  const auto closed = fixture.open(ChatTemplate(std::string(kBare) + " ", "bare"));
  CHECK(closed->report().preview == "Why?⟦A </s>⟧");
  CHECK(closed->report().chat_samples_ended == 1);

  Fixture empty(
      R"({"messages":[{"role":"user","content":"Why?"},{"role":"assistant","content":""}]})");
  CHECK(empty.open(ChatTemplate(kBare, "bare"))->report().preview == "Why?⟦</s>⟧");

  fixture.data.append_eos = false;
  const auto open = fixture.open(ChatTemplate(kBare, "bare"));
  CHECK(open->report().preview == "Why?⟦A⟧");
  CHECK(report_json(open->report()).at("end_of_turn_share") == 0.0);
}

TEST_CASE("what the model lacks is said once, not per line") {
  Fixture fixture(R"({"messages":[{"role":"user","content":"Q"}]})");
  fixture.data.on_bad_line = BadLinePolicy::kSkip;
  CHECK(contains(fixture.error(), "the model has no chat template"));
  Fixture text("{\"text\": \"x\"}");
  TextTools tools = toy_tools();
  tools.eos_token = "";
  CHECK(contains(error_of([&] { open_source(text.source, text.data, tools); }),
                 "append_eos: the model has no end-of-sequence token"));
  tools.eos_token = "<none>";
  CHECK(contains(error_of([&] { open_source(text.source, text.data, tools); }),
                 "'<none>' is not in the tokenizer"));
}

TEST_CASE("a conversation that the template refuses is a bad line") {
  Fixture fixture(
      R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})"
      "\n"
      R"({"messages":[{"role":"tool","content":"Q"}]})");
  const std::string source = std::string(kChatMl) +
                             "{% for m in messages %}{% if m.role == 'tool' %}"
                             "{{ raise_exception('no tools') }}{% endif %}{% endfor %}";
  const std::string error = fixture.error(ChatTemplate(source, "strict"));
  CHECK(contains(error, "a.jsonl:2: the chat template refused the conversation"));
  CHECK(contains(error, "no tools"));
  fixture.data.on_bad_line = BadLinePolicy::kSkip;
  CHECK(fixture.open(ChatTemplate(source, "strict"))
            ->report()
            .bad_lines.at("refused by the chat template") == 1);
}

TEST_CASE("conversations cannot be split") {
  Fixture fixture(
      R"({"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]})");
  const auto source = fixture.open(chatml());
  CHECK(contains(error_of([&] {
                   PackedSource(source,
                                {.context_length = 4, .on_overflow = OverflowPolicy::kSplit});
                 }),
                 "source manual: on_overflow: split cannot be used for conversations"));
  CHECK(contains(error_of([&] { PackedSource(source, {.context_length = 4}); }),
                 "a.jsonl:1: the sample is longer than context_length"));
}

TEST_CASE("an empty source is refused") {
  Fixture fixture("");
  fixture.source.shape = RowShape::kText;
  CHECK(contains(fixture.error(), "source manual: holds no documents"));
  fixture.source.shape = RowShape::kAuto;
  CHECK(contains(fixture.error(), "no row can be read"));
}

TEST_CASE("a recipe gives plan, held-out sets and report") {
  Fixture fixture(many_rows(200));
  fixture.write(many_rows(20), "held.jsonl");
  fixture.data.sources = {fixture.source};
  SourceRecipe held = fixture.source;
  held.name = "held";
  held.path = fixture.folder / "held.jsonl";
  fixture.data.evaluation = {held};
  const BatchRecipe batch{.sequences_per_step = 2};
  const TextTools tools = toy_tools();
  const TrainingData data = load_training_data(fixture.data, batch, tools, 3);
  CHECK(data.plan.steps() > 10);
  REQUIRE(data.evaluation.size() == 1);
  CHECK(data.evaluation[0].name() == "held");
  CHECK(data.report().at("plan").at("tokens") == data.plan.tokens());
  CHECK(contains(data.table(), "manual"));
  REQUIRE(data.reports().size() == 2);
  const SourceReport report = data.reports()[0];
  CHECK(report.licence == "CC0-1.0");
  CHECK(report.files.at(0).sha256 == sha256_file(fixture.source.path));
  CHECK(report.kept_documents == 200);
  CHECK(data.report().at("evaluation")[0].at("name") == "held");
}

TEST_CASE("a source's own overflow policy comes before that of the data") {
  Fixture fixture(many_rows(200));
  fixture.data.context_length = 40;
  fixture.source.on_overflow = OverflowPolicy::kDrop;
  fixture.data.sources = {fixture.source};
  const TextTools tools = toy_tools();
  const BatchRecipe batch{.sequences_per_step = 2};
  const TrainingData data = load_training_data(fixture.data, batch, tools, 3);
  CHECK(data.reports()[0].kept_documents < 200);
  fixture.data.sources[0].on_overflow.reset();
  CHECK(contains(error_of([&] { load_training_data(fixture.data, batch, tools, 3); }),
                 "longer than context_length"));
}

}  // namespace gradus
