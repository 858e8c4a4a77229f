// SPDX-License-Identifier: Apache-2.0
// The OpenAI-compatible application behind the HTTP server: access, routes, answers.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "serve/answer.h"
#include "serve/api_keys.h"
#include "serve/http/service.h"
#include "serve/metrics.h"
#include "serve/router.h"
#include "serve/served_model.h"

namespace gradus {

enum class ServerState { kLoading, kReady, kDraining };

class Application : public HttpService {
 public:
  // Throws gradus::Error when the API keys cannot be read.
  explicit Application(const ServeRecipe& recipe);

  // The model, with its engine, must outlive the HTTP server's handlers.
  void set_model(const ServedModel* model);
  void set_state(ServerState state) { state_ = state; }
  void set_connections(std::function<int64_t()> count) { connections_ = std::move(count); }

  int64_t active_answers() const;
  void abort_answers(const ApiError& error);

  std::optional<HttpResponse> screen(const HttpRequest& request) override;
  void handle(const std::shared_ptr<Exchange>& exchange) override;
  void finish(const HttpRequest& request, HttpResponse& response) override;
  HttpResponse http_error(int status, const std::string& message) override;

 private:
  std::optional<HttpResponse> screen_route(const HttpRequest& request) const;
  std::optional<HttpResponse> preflight(const HttpRequest& request) const;
  void check_access(const HttpRequest& request, const Route& route) const;
  bool origin_allowed(std::string_view origin) const;

  void run(const std::shared_ptr<Exchange>& exchange, const Match& match);
  void complete(const std::shared_ptr<Exchange>& exchange);
  void chat(const std::shared_ptr<Exchange>& exchange);
  void begin(const std::shared_ptr<Exchange>& exchange, AnswerPlan plan);
  AnswerHead head_for(const HttpRequest& request, const AnswerOptions& options) const;
  const ServedModel& ready_model() const;
  const ServedModel& model_named(const std::string& name) const;

  HttpResponse health(const char* good) const;
  HttpResponse metrics_page() const;
  HttpResponse models_page() const;

  const ServeRecipe& recipe_;
  ApiKeys keys_;
  Metrics metrics_;
  RequestLimits limits_;
  std::function<int64_t()> connections_ = [] { return int64_t{0}; };
  std::atomic<ServerState> state_{ServerState::kLoading};
  std::atomic<const ServedModel*> model_{nullptr};
  mutable std::mutex mutex_;
  std::map<const Answer*, std::weak_ptr<Answer>> answers_;
};

}  // namespace gradus
