// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "base/temporary_folder.h"
#include "serve/api_keys.h"
#include "serve/http/message.h"
#include "serve/http/request_id.h"
#include "serve/metrics.h"
#include "serve/recipe.h"
#include "serve/router.h"
#include "support/catch.h"

using namespace gradus;

TEST_CASE("only whole keys open the door") {
  ApiKeys keys;
  CHECK(keys.empty());
  CHECK_FALSE(keys.accepts(""));
  keys.add("secret-one");
  keys.add("secret-two");
  CHECK(keys.accepts_header("Bearer secret-one"));
  CHECK(keys.accepts_header("bearer   secret-two "));
  for (const char* bad : {"", "Bearer", "Bearer ", "secret-one", "Bearer secret-on",
                          "Bearer secret-one1", "Bearer SECRET-ONE", "Basic secret-one"})
    CHECK_FALSE(keys.accepts_header(bad));
}

TEST_CASE("key files have one key a line and comments") {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "keys";
  write_file_atomic(file, "# ours\n\n  first-key-1  # of A\nsecond-key\r\n");
  ApiKeys keys;
  keys.add_file(file);
  CHECK(keys.accepts("first-key-1"));
  CHECK(keys.accepts("second-key"));
  write_file_atomic(file, "long-enough\nshort\n");
  CHECK_THROWS_WITH(keys.add_file(file), Catch::Contains("keys:2") && !Catch::Contains("short\n"));
  write_file_atomic(file, "# none\n");
  CHECK_THROWS_WITH(keys.add_file(file), Catch::Contains("no API keys"));
}

TEST_CASE("routes are found by method and whole path") {
  REQUIRE(find_route("POST", "/v1/chat/completions").route);
  CHECK(find_route("POST", "/v1/chat/completions").route->access == Access::kKey);
  CHECK(find_route("GET", "/v1/chat/completions").route == nullptr);
  CHECK(find_route("GET", "/v1/chat/completions").allowed_methods == "POST");
  CHECK(find_route("GET", "/v1/models/a/b").rest == "a/b");
  for (const char* path : {"/", "/v1", "/v1/models/", "/v1/models2", "/v1/chat/completions/", "",
                           "//livez", "/livez/../metrics"})
    CHECK(find_route("GET", path).route == nullptr);
  for (const Route& route : routes()) {
    const bool harmless = route.handler == Handler::kLive || route.handler == Handler::kReady ||
                          route.handler == Handler::kHealth;
    CHECK((route.access == Access::kOpen) == harmless);
  }
}

TEST_CASE("request ids from outside are plain words") {
  CHECK(request_id("abc-1_2.3", "x") == "abc-1_2.3");
  CHECK(request_id("a b", "x") == "x");
  CHECK(request_id("a\r\nb", "x") == "x");
  CHECK(request_id(std::string(65, 'a'), "x") == "x");
  CHECK(new_request_id().size() == 32);
  CHECK(new_request_id() != new_request_id());
}

TEST_CASE("histograms are cumulative") {
  Histogram histogram;
  for (const double seconds : {0.0005, 0.3, 0.3, 1000.0}) histogram.observe(seconds);
  std::string text;
  histogram.write(text, "h", "help");
  CHECK_THAT(text, Catch::Contains("h_bucket{le=\"0.001\"} 1\n"));
  CHECK_THAT(text, Catch::Contains("h_bucket{le=\"0.5\"} 3\n"));
  CHECK_THAT(text, Catch::Contains("h_bucket{le=\"120\"} 3\n"));
  CHECK_THAT(text, Catch::Contains("h_bucket{le=\"+Inf\"} 4\n"));
  CHECK_THAT(text, Catch::Contains("h_sum 1000.6005\n"));
  CHECK_THAT(text, Catch::Contains("h_count 4\n"));
}

TEST_CASE("the wait that a full queue asks for grows with the queue") {
  Metrics metrics;
  EngineStatus engine;
  engine.queued = 0;
  const int64_t short_wait = metrics.retry_seconds(engine, 8);
  engine.queued = 64;
  CHECK(short_wait == 1);
  CHECK(metrics.retry_seconds(engine, 8) > short_wait);
  engine.queued = 1 << 20;
  CHECK(metrics.retry_seconds(engine, 1) <= 120);
}

TEST_CASE("only localhost and loopback addresses are this machine") {
  for (const char* host : {"localhost", "LocalHost", "127.0.0.1", "127.8.9.10", "::1", "[::1]"}) {
    CAPTURE(host);
    CHECK(is_loopback(host));
  }
  for (const char* host : {"", "127.evil.com", "127.", "127.1", "127.0.0.1.evil.com", "127.0.0.1 ",
                           "0.0.0.0", "::", "[]", "[127.evil.com]", "localhost.evil.com",
                           "10.0.0.1", "::ffff:10.0.0.1", "1::1"}) {
    CAPTURE(host);
    CHECK_FALSE(is_loopback(host));
  }
}

TEST_CASE("an address that others reach needs keys or a decision") {
  const auto load = [](const std::vector<std::string>& overrides) {
    return parse_recipe<ServeRecipe>("model: m", "r", overrides, InputPaths::kMayBeMissing);
  };
  CHECK(load({}).host == "127.0.0.1");
  CHECK_THROWS_WITH(load({"host=0.0.0.0"}), Catch::Contains("other machines"));
  CHECK_THROWS_WITH(load({"host=127.evil.com"}), Catch::Contains("other machines"));
  CHECK(load({"host=0.0.0.0", "api_keys=[long-enough]"}).api_keys.size() == 1);
  CHECK(load({"host=0.0.0.0", "allow_anonymous=true"}).allow_anonymous);
  CHECK_THROWS_WITH(load({"api_keys=[short]"}), Catch::Contains("8 characters"));
  CHECK_THROWS_WITH(load({"port=70000"}), Catch::Contains("port"));
}
