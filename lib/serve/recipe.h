// SPDX-License-Identifier: Apache-2.0
// The recipe of gradus serve; docs/serve.md explains the keys.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace gradus {

struct ServeEngineRecipe {
  int64_t max_sequences = 8;
  std::optional<int64_t> context_length;
  int64_t prefill_tokens = 512;
  int64_t max_queued = 64;

  template <class V>
  void visit(V& v) {
    v("max_sequences", max_sequences, "answers that are computed at once", rule::in_range(1, 4096));
    v("context_length", context_length,
      "prompt and answer of one request; default: what the model allows, at most 2048",
      rule::in_range(2, 1 << 24), rule::unit("tokens"));
    v("prefill_tokens", prefill_tokens, "prompt tokens per step, over all requests",
      rule::in_range(1, 1 << 20));
    v("max_queued", max_queued, "answers that may wait; more are refused with 429",
      rule::in_range(1, 1 << 20));
  }
};

struct ServeLimitsRecipe {
  int64_t body_bytes = 2 << 20;
  int64_t header_bytes = 16 << 10;
  int64_t headers = 100;
  int64_t connections = 256;
  int64_t unsent_bytes = 1 << 20;
  double read_seconds = 30;
  double write_seconds = 30;
  double idle_seconds = 75;
  double request_seconds = 600;
  double stall_seconds = 120;
  std::optional<int64_t> prompt_tokens;
  std::optional<int64_t> max_tokens;
  int64_t choices = 8;
  int64_t messages = 1024;

  template <class V>
  void visit(V& v) {
    v("body_bytes", body_bytes, "largest request body", rule::in_range(1024, 1 << 30));
    v("header_bytes", header_bytes, "largest request line and headers",
      rule::in_range(1024, 1 << 20));
    v("headers", headers, "most headers of a request", rule::in_range(8, 1000));
    v("connections", connections, "most open connections", rule::in_range(1, 65536));
    v("unsent_bytes", unsent_bytes, "a client that leaves more of a stream unread is cut off",
      rule::in_range(1024, 1 << 30));
    v("read_seconds", read_seconds,
      "the headers of a request, and then its body, must each arrive within this time",
      rule::positive);
    v("write_seconds", write_seconds, "longest wait for a client that does not read",
      rule::positive);
    v("idle_seconds", idle_seconds, "longest pause between requests of a connection",
      rule::positive);
    v("request_seconds", request_seconds, "longest time for one request, waiting included",
      rule::positive);
    v("stall_seconds", stall_seconds, "not healthy when a step takes longer", rule::positive);
    v("prompt_tokens", prompt_tokens, "longest prompt; default: what fits the context",
      rule::at_least(1));
    v("max_tokens", max_tokens, "longest answer; default: what fits the context",
      rule::at_least(1));
    v("choices", choices, "most answers to one request (prompts x n)", rule::in_range(1, 128));
    v("messages", messages, "most messages of a conversation", rule::in_range(1, 100000));
  }
};

struct ServeTlsRecipe {
  std::string certificate, key;

  template <class V>
  void visit(V& v) {
    v("certificate", certificate, "PEM file with the certificate and its chain", rule::required,
      rule::path_input);
    v("key", key, "PEM file with the private key", rule::required, rule::path_input);
  }
};

struct ServeRecipe {
  std::string model;
  std::string served_model_name;
  std::string host = "127.0.0.1";
  int64_t port = 8080;
  std::string device = "auto";
  std::string dtype;
  int64_t threads = 0;
  int64_t http_threads = 2;
  std::string api_keys_file;
  std::vector<std::string> api_keys;
  bool allow_anonymous = false;
  bool metrics_public = false;
  std::optional<ServeTlsRecipe> tls;
  std::vector<std::string> cors_origins;
  double drain_seconds = 30;
  ServeEngineRecipe engine;
  ServeLimitsRecipe limits;

  template <class V>
  void visit(V& v) {
    v("model", model, "model folder", rule::required, rule::path_input);
    v("served_model_name", served_model_name, "name in requests; default: the folder's name");
    v("host", host, "address to listen on");
    v("port", port, "port to listen on; 0: any free one, see the line printed when ready",
      rule::in_range(0, 65535));
    v("device", device, "auto, cpu, cuda or cuda:N");
    v("dtype", dtype, "precision of the computation; default: the model's",
      rule::one_of({"", "float32", "bfloat16", "float16"}));
    v("threads", threads, "threads of the computation; 0: the usable cores",
      rule::in_range(0, 4096));
    v("http_threads", http_threads, "threads for HTTP, templates and tokenizing",
      rule::in_range(1, 256));
    v("api_keys_file", api_keys_file, "file with one API key a line; # starts a comment",
      rule::path_input);
    v("api_keys", api_keys, "API keys; a file keeps them out of the recipe");
    v("allow_anonymous", allow_anonymous,
      "serve without API keys on an address that other machines reach");
    v("metrics_public", metrics_public, "GET /metrics needs no API key");
    v("tls", tls, "serve HTTPS");
    v("cors_origins", cors_origins,
      "origins whose web pages may use the server, e.g. https://example.org, or *");
    v("drain_seconds", drain_seconds, "after SIGTERM, time for running requests to finish",
      rule::at_least(0), rule::unit("s"));
    v("engine", engine, "the batching engine");
    v("limits", limits, "what one client may ask for");
  }
  void check(Problems& problems) const;
};

// Whether `host` is "localhost" or a loopback address (also in brackets): reached from this machine
// only.
bool is_loopback(const std::string& host);

}  // namespace gradus
