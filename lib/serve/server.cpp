// SPDX-License-Identifier: Apache-2.0
#include "serve/server.h"

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "serve/application.h"
#include "serve/http/http_server.h"

namespace gradus {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr double kFlushSeconds = 3;  // for the errors of cancelled requests to reach their clients

std::optional<TlsFiles> tls_files(const ServeRecipe& recipe) {
  if (!recipe.tls) return std::nullopt;
  return TlsFiles{.certificate = recipe.tls->certificate, .key = recipe.tls->key};
}

HttpServerOptions http_options(const ServeRecipe& recipe) {
  const ServeLimitsRecipe& limits = recipe.limits;
  return {.host = recipe.host,
          .port = static_cast<uint16_t>(recipe.port),
          .threads = static_cast<int>(recipe.http_threads),
          .max_connections = limits.connections,
          .tls = tls_files(recipe),
          .limits = {.max_body_bytes = static_cast<size_t>(limits.body_bytes),
                     .max_header_bytes = static_cast<size_t>(limits.header_bytes),
                     .max_headers = static_cast<size_t>(limits.headers),
                     .max_unsent_bytes = static_cast<size_t>(limits.unsent_bytes),
                     .read_seconds = limits.read_seconds,
                     .write_seconds = limits.write_seconds,
                     .idle_seconds = limits.idle_seconds}};
}

}  // namespace

// Destroyed from the bottom: connections are closed first, then the engine's thread ends, and the
// HTTP threads last, because both post to them.
struct Server::State {
  explicit State(const ServeRecipe& chosen)
      : recipe(chosen), application(chosen), http(http_options(chosen), application) {
    application.set_connections([this] { return http.open_connections(); });
    http.start();
  }
  ~State() {
    http.close_all();
    application.set_model(nullptr);
    model.reset();
  }
  template <class Done>
  bool wait_until(double seconds, Done done) const {
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (!done() && Clock::now() < end) std::this_thread::sleep_for(kPoll);
    return done();
  }

  const ServeRecipe& recipe;
  std::unique_ptr<ServedModel> model;
  Application application;
  HttpServer http;
};

Server::Server(const ServeRecipe& recipe) : state_(std::make_unique<State>(recipe)) {}
Server::~Server() = default;

void Server::load() {
  auto model = open_served_model(state_->recipe);
  start_engine(*model, state_->recipe);
  state_->model = std::move(model);
  state_->application.set_model(state_->model.get());
}

std::string Server::url() const { return state_->http.url(); }
std::string Server::model_name() const { return state_->model->name; }

void Server::run() {
  while (stop_signal() == 0) std::this_thread::sleep_for(kPoll);
  State& state = *state_;
  const auto idle = [&] { return state.application.active_answers() == 0; };
  state.application.set_state(ServerState::kDraining);
  state.http.stop_accepting();
  log_info("serve", cat("draining: ", state.application.active_answers(), " requests running, ",
                        state.recipe.drain_seconds, " s at most"));
  if (!state.wait_until(state.recipe.drain_seconds, idle)) {
    log_warning("serve", cat("cancelling ", state.application.active_answers(), " requests"));
    state.application.abort_answers(
        ApiError({.status = 503, .message = "the server is shutting down", .code = "shutdown"}));
  }
  state.wait_until(kFlushSeconds, [&] { return idle() && state.http.open_connections() == 0; });
  log_info("serve", "stopped");
}

void check_serve_recipe(const ServeRecipe& recipe) {
  const Application keys_can_be_read(recipe);
  if (const auto tls = tls_files(recipe)) check_tls_files(*tls);
  open_served_model(recipe);
}

}  // namespace gradus
