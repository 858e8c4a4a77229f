// SPDX-License-Identifier: Apache-2.0
// Answers of a tiny model, through a recorded exchange instead of a socket.
#include "serve/answer.h"

#include <condition_variable>
#include <deque>
#include <mutex>

#include "support/catch.h"
#include "support/generate.h"
#include "support/tiny_model.h"
#include "unit/serve/toy_tokenizer.h"

using namespace gradus;

namespace {

class RecordedExchange : public Exchange {
 public:
  const HttpRequest& request() const override { return request_; }
  void post(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    wake_.notify_all();
  }
  void respond(HttpResponse response) override {
    status = response.status;
    body = response.body;
    complete = true;
  }
  void start_stream(HttpResponse head) override { status = head.status; }
  void write(std::string data) override { body += data; }
  void end_stream() override { complete = true; }
  void on_close(std::function<void()> gone) override { gone_ = std::move(gone); }
  void after(double, std::function<void()>) override {}

  // Does what was posted until the response is complete.
  void run() {
    while (!complete) step();
  }
  void step() {
    std::unique_lock lock(mutex_);
    REQUIRE(wake_.wait_for(lock, std::chrono::seconds(20), [this] { return !work_.empty(); }));
    const auto work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    work();
  }
  void client_leaves() { std::exchange(gone_, {})(); }
  void forget() { gone_ = {}; }

  int status = 0;
  std::string body;
  bool complete = false;

 private:
  HttpRequest request_{.method = "POST",
                       .path = "/",
                       .headers = {},
                       .body = {},
                       .id = "test",
                       .received = std::chrono::steady_clock::now()};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> work_;
  std::function<void()> gone_;
};

std::unique_ptr<ServedModel> served(const EngineOptions& options) {
  auto model = std::unique_ptr<ServedModel>(
      new ServedModel{.name = "tiny",
                      .tools = {.tokenizer = std::make_unique<ToyTokenizer>(),
                                .chat_template = {},
                                .bos_token = {},
                                .eos_token = {},
                                .tokenizer_digest = {}}});
  model->max_prompt_tokens = model->max_answer_tokens = options.context_length;
  model->engine =
      std::make_unique<Engine>(std::make_shared<const Transformer>(tiny_model()), options);
  return model;
}

const EngineOptions kEngine{.max_sequences = 4, .context_length = 128};

struct Asked {
  AnswerOptions options;
  std::vector<std::vector<int32_t>> prompts = {{5, 6, 7}};
  bool chat = true;
};

std::shared_ptr<RecordedExchange> ask(const ServedModel& model, Metrics& metrics, Asked asked) {
  const auto exchange = std::make_shared<RecordedExchange>();
  AnswerHead head{.id = "1",
                  .model = "tiny",
                  .fingerprint = "fp",
                  .include_usage = asked.options.include_usage};
  const Tokenizer& tokenizer = *model.tools.tokenizer;
  AnswerPlan plan{
      .options = asked.options,
      .prompts = asked.prompts,
      .format = asked.chat ? chat_format(head, tokenizer) : completion_format(head, tokenizer)};
  const auto answer = std::make_shared<Answer>(exchange, model, metrics, std::move(plan));
  try {
    answer->start();
  } catch (...) {
    exchange->forget();
    throw;
  }
  return exchange;
}

std::vector<Json> events(const std::string& body) {
  std::vector<Json> found;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    REQUIRE(end != std::string::npos);
    const std::string event = body.substr(at, end - at);
    REQUIRE(event.rfind("data: ", 0) == 0);
    if (event != "data: [DONE]") found.push_back(Json::parse(event.substr(6)));
    at = end + 2;
  }
  return found;
}

struct Choice {
  std::string text, finish;
  Json logprobs = Json::array();
};

// What a client makes of a stream or of a whole answer.
std::map<int64_t, Choice> choices_of(const std::string& body, bool stream) {
  std::map<int64_t, Choice> out;
  for (const Json& event : stream ? events(body) : std::vector<Json>{Json::parse(body)}) {
    for (const Json& choice : event.at("choices")) {
      Choice& to = out[choice.at("index").get<int64_t>()];
      if (choice.contains("text")) to.text += choice["text"].get<std::string>();
      const Json content = choice.value(stream ? "delta" : "message", Json::object());
      to.text += content.value("content", "");
      if (!choice["finish_reason"].is_null()) to.finish = choice["finish_reason"];
      if (!choice["logprobs"].is_null()) {
        for (const Json& entry : choice["logprobs"].value("content", Json::array()))
          to.logprobs.push_back(entry);
      }
    }
  }
  return out;
}

bool idle_soon(const Engine& engine) {
  for (int i = 0; i < 500; ++i) {
    const EngineStatus status = engine.status();
    if (status.running == 0 && status.queued == 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

TEST_CASE("a stream is the whole answer in pieces") {
  Metrics metrics;
  const auto model = served(kEngine);
  for (int i = 0; i < 24; ++i) {
    Asked asked;
    asked.chat = i % 2 == 0;
    asked.options.n = 1 + i % 3;  // further choices run beside the first
    asked.options.max_tokens = 40;
    asked.options.seed = static_cast<uint64_t>(i);
    asked.options.top_logprobs = i % 4 < 2 ? 2 : -1;
    // A stop string ends a choice while the engine is a step ahead, so that the rest of the batch
    // has another shape in each run, and logits with other last bits.
    if (asked.options.n == 1) asked.options.stop = {"ab", "d "};
    const auto whole = ask(*model, metrics, asked);
    whole->run();
    REQUIRE(idle_soon(*model->engine));
    asked.options.stream = true;
    const auto stream = ask(*model, metrics, asked);
    stream->run();
    REQUIRE(idle_soon(*model->engine));
    const auto a = choices_of(whole->body, false), b = choices_of(stream->body, true);
    REQUIRE(a.size() == static_cast<size_t>(asked.options.n));
    REQUIRE(b.size() == a.size());
    for (const auto& [index, choice] : a) {
      CHECK(b.at(index).text == choice.text);
      CHECK(b.at(index).finish == choice.finish);
      CHECK(b.at(index).logprobs == choice.logprobs);
      CHECK((choice.finish == "stop" || choice.finish == "length"));
    }
    CHECK(stream->body.find("data: [DONE]\n\n") == stream->body.size() - 14);
  }
}

TEST_CASE("usage counts prompts once and all computed tokens") {
  Metrics metrics;
  const auto model = served(kEngine);
  Asked asked;
  asked.options.max_tokens = 5;
  asked.options.n = 2;
  asked.options.seed = 1;
  asked.prompts = {{5, 6, 7}, {8, 9}};
  asked.chat = false;
  const auto whole = ask(*model, metrics, asked);
  whole->run();
  const Json usage = Json::parse(whole->body)["usage"];
  CHECK(usage["prompt_tokens"] == 5);
  CHECK(usage["completion_tokens"] == 20);
  CHECK(usage["total_tokens"] == 25);
  asked.options.stream = asked.options.include_usage = true;
  const auto stream = ask(*model, metrics, asked);
  stream->run();
  const auto all = events(stream->body);
  CHECK(all.back()["usage"] == usage);
  CHECK(all.back()["choices"].empty());
  CHECK(all.front().at("usage").is_null());
}

TEST_CASE("a stop token ends an answer without appearing in it") {
  Metrics metrics;
  const auto model = served(kEngine);
  Asked asked;
  asked.chat = false;
  asked.options.max_tokens = 30;
  asked.options.sampling.temperature = 0;
  asked.options.top_logprobs = 0;
  const auto before = ask(*model, metrics, asked);
  before->run();
  const std::string text = choices_of(before->body, false).at(0).text;
  const auto tokens = generate(
      tiny_model(),
      {.prompt = {5, 6, 7}, .max_tokens = 30, .sampling = {.temperature = 0}, .stop_tokens = {}});
  model->stop_tokens = {tokens[10].id};
  const auto after = ask(*model, metrics, asked);
  after->run();
  const Choice choice = choices_of(after->body, false).at(0);
  CHECK(choice.finish == "stop");
  CHECK(choice.text.size() < text.size());
}

TEST_CASE("a client that leaves frees the engine") {
  Metrics metrics;
  const auto model = served({.max_sequences = 1, .context_length = 250});
  Asked asked;
  asked.options.max_tokens = 240;
  asked.options.n = 3;  // one runs, two wait
  asked.options.stream = true;
  const auto exchange = ask(*model, metrics, asked);
  exchange->step();
  exchange->client_leaves();
  CHECK(idle_soon(*model->engine));
  CHECK_THAT(metrics.text({}), Catch::Contains("outcome=\"cancelled\"} 1"));
}

TEST_CASE("a full queue is a 429 and leaves nothing behind") {
  Metrics metrics;
  const auto model = served({.max_sequences = 1, .context_length = 250, .max_queued = 2});
  Asked asked;
  asked.options.max_tokens = 240;
  asked.options.n = 2;
  const auto first = ask(*model, metrics, asked);  // one waits at least
  try {
    ask(*model, metrics, asked);
    FAIL("not refused");
  } catch (const ApiError& error) {
    CHECK(error.status() == 429);
    CHECK(error.retry_after.value_or(0) >= 1);
  }
  first->client_leaves();
  CHECK(idle_soon(*model->engine));
}

TEST_CASE("more answers than can ever wait are refused for good") {
  Metrics metrics;
  const auto model = served({.max_sequences = 1, .context_length = 250, .max_queued = 2});
  Asked asked;
  asked.options.n = 3;
  try {
    ask(*model, metrics, asked);
    FAIL("not refused");
  } catch (const ApiError& error) {
    CHECK(error.status() == 400);
    CHECK_THAT(error.what(), Catch::Contains("at most 2 can wait"));
  }
  CHECK(idle_soon(*model->engine));
}

TEST_CASE("requests that do not fit are refused before anything runs") {
  Metrics metrics;
  const auto model = served(kEngine);
  const auto refused = [&](Asked asked) {
    try {
      ask(*model, metrics, asked);
    } catch (const ApiError& error) {
      return error.json()["error"]["code"].dump() + " " + error.what();
    }
    return std::string();
  };
  Asked asked;
  asked.options.max_tokens = 126;
  CHECK_THAT(refused(asked), Catch::Contains("context_length_exceeded"));
  asked.options.max_tokens = {};
  asked.prompts = {std::vector<int32_t>(128, 5)};
  CHECK_THAT(refused(asked), Catch::Contains("context_length_exceeded"));
  asked.prompts = {{100000}};
  CHECK_THAT(refused(asked), Catch::Contains("vocabulary"));
  model->max_answer_tokens = 10;
  asked.prompts = {{5}};
  asked.options.max_tokens = 11;
  CHECK_THAT(refused(asked), Catch::Contains("at most 10"));
  CHECK(idle_soon(*model->engine));
}

TEST_CASE("an aborted stream says why") {
  Metrics metrics;
  const auto model = served({.max_sequences = 1, .context_length = 250});
  const auto exchange = std::make_shared<RecordedExchange>();
  AnswerOptions options;
  options.stream = true;
  options.max_tokens = 240;
  const auto answer =
      std::make_shared<Answer>(exchange, *model, metrics,
                               AnswerPlan{.options = options,
                                          .prompts = {{5}},
                                          .format = chat_format({}, *model->tools.tokenizer)});
  answer->start();
  answer->abort(ApiError({.status = 503, .message = "the server is shutting down"}));
  exchange->run();
  CHECK(events(exchange->body).back()["error"]["message"] == "the server is shutting down");
  exchange->forget();
  CHECK(idle_soon(*model->engine));
}
