// SPDX-License-Identifier: Apache-2.0
#include "serve/application.h"

#include <algorithm>
#include <ctime>

#include "base/error.h"
#include "base/log.h"
#include "serve/prompt.h"
#include "serve/responses.h"

namespace gradus {
namespace {

const char* state_name(ServerState state) {
  if (state == ServerState::kLoading) return "loading";
  return state == ServerState::kReady ? "ready" : "draining";
}

// "example.org:8080" -> "example.org", "[::1]:80" -> "::1"
std::string host_name(std::string_view header) {
  if (!header.empty() && header.front() == '[')
    return std::string(header.substr(1, header.find(']') - 1));
  return std::string(header.substr(0, header.find(':')));
}

bool is_json(std::string_view content_type) {
  return equal_ignoring_case(content_type.substr(0, content_type.find(';')), "application/json");
}

Json model_json(const ServedModel& model) {
  return {
      {"id", model.name}, {"object", "model"}, {"created", model.created}, {"owned_by", "gradus"}};
}

}  // namespace

Application::Application(const ServeRecipe& recipe)
    : recipe_(recipe),
      limits_({.max_choices = recipe.limits.choices, .max_messages = recipe.limits.messages}) {
  for (const std::string& key : recipe.api_keys) keys_.add(key);
  if (!recipe.api_keys_file.empty()) keys_.add_file(recipe.api_keys_file);
}

void Application::set_model(const ServedModel* model) {
  model_ = model;
  if (model) state_ = ServerState::kReady;
}

int64_t Application::active_answers() const {
  const std::lock_guard lock(mutex_);
  return std::count_if(answers_.begin(), answers_.end(),
                       [](const auto& entry) { return !entry.second.expired(); });
}

void Application::abort_answers(const ApiError& error) {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, weak] : answers_) {
    if (const auto answer = weak.lock()) answer->abort(error);
  }
}

bool Application::origin_allowed(std::string_view origin) const {
  const auto& allowed = recipe_.cors_origins;
  return !origin.empty() && std::any_of(allowed.begin(), allowed.end(), [&](const auto& entry) {
    return entry == "*" || entry == origin;
  });
}

// A page asks beforehand whether it may send a request with an Authorization header.
std::optional<HttpResponse> Application::preflight(const HttpRequest& request) const {
  if (request.method != "OPTIONS" || !origin_allowed(request.header("Origin"))) return {};
  HttpResponse response{.status = 204};
  response.headers = {{"Access-Control-Allow-Methods", "GET, POST"},
                      {"Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id"},
                      {"Access-Control-Max-Age", "600"}};
  return response;
}

void Application::check_access(const HttpRequest& request, const Route& route) const {
  const bool open =
      route.access == Access::kOpen || (route.access == Access::kMetrics && recipe_.metrics_public);
  if (!keys_.empty()) {
    if (open || keys_.accepts_header(request.header("Authorization"))) return;
    throw ApiError({.status = 401,
                    .message = "a valid API key is needed: Authorization: Bearer KEY",
                    .code = "invalid_api_key"});
  }
  // Without keys, only this machine is trusted, and a web page whose name was pointed at this
  // machine (DNS rebinding) is not this machine.
  if (is_loopback(recipe_.host) && !is_loopback(host_name(request.header("Host"))))
    throw ApiError({.status = 403,
                    .message = "without API keys the server answers only to "
                               "localhost; the Host header names another host"});
}

std::optional<HttpResponse> Application::screen_route(const HttpRequest& request) const {
  if (auto response = preflight(request)) return response;
  const Match match = find_route(request.method, request.path);
  if (!match.route && match.allowed_methods.empty())
    throw ApiError({.status = 404, .message = "no such route: " + printable(request.path)});
  if (!match.route) {
    HttpResponse response = error_response(
        ApiError({.status = 405, .message = "use " + match.allowed_methods + " for this route"}));
    response.headers.emplace_back("Allow", match.allowed_methods);
    return response;
  }
  check_access(request, *match.route);
  if (request.method == "POST") {
    if (!is_json(request.header("Content-Type")))
      throw ApiError({.status = 415, .message = "Content-Type must be application/json"});
    ready_model();
  }
  return {};
}

std::optional<HttpResponse> Application::screen(const HttpRequest& request) {
  try {
    return screen_route(request);
  } catch (const ApiError& error) {
    return error_response(error);
  }
}

void Application::handle(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  try {
    run(exchange, find_route(request.method, request.path));
  } catch (const ApiError& error) {
    exchange->respond(error_response(error));
  } catch (const Error& error) {
    exchange->respond(error_response(ApiError({.message = error.what()})));
  } catch (const std::exception& error) {
    log_error("serve", cat("request ", request.id, ": ", error.what()));
    exchange->respond(error_response(ApiError({.status = 500, .message = "internal error"})));
  }
}

void Application::run(const std::shared_ptr<Exchange>& exchange, const Match& match) {
  if (!match.route) throw std::logic_error("a request without a route passed the screen");
  switch (match.route->handler) {
    case Handler::kLive:
      return exchange->respond(json_response(200, {{"status", "alive"}}));
    case Handler::kReady:
    case Handler::kHealth:
      return exchange->respond(health("ready"));
    case Handler::kMetrics:
      return exchange->respond(metrics_page());
    case Handler::kListModels:
      return exchange->respond(models_page());
    case Handler::kOneModel:
      return exchange->respond(json_response(200, model_json(model_named(match.rest))));
    case Handler::kCompletions:
      return complete(exchange);
    case Handler::kChatCompletions:
      return chat(exchange);
  }
}

const ServedModel& Application::ready_model() const {
  const ServedModel* model = model_;
  if (model && state_ == ServerState::kReady) return *model;
  ApiError error(
      {.status = 503, .message = cat("the server is ", state_name(state_)), .code = "not_ready"});
  error.retry_after = 5;
  throw error;
}

const ServedModel& Application::model_named(const std::string& name) const {
  const ServedModel& model = ready_model();
  if (model.name == name) return model;
  throw ApiError(
      {.status = 404,
       .message = cat("no model '", printable(name), "'; this server has '", model.name, "'"),
       .param = "model",
       .code = "model_not_found"});
}

AnswerHead Application::head_for(const HttpRequest& request, const AnswerOptions& options) const {
  const ServedModel& model = model_named(options.model);
  return {.id = request.id,
          .created = static_cast<int64_t>(std::time(nullptr)),
          .model = model.name,
          .fingerprint = model.fingerprint,
          .include_usage = options.include_usage};
}

void Application::complete(const std::shared_ptr<Exchange>& exchange) {
  CompletionRequest request =
      parse_completion_request(parse_body(exchange->request().body), limits_);
  AnswerHead head = head_for(exchange->request(), request.answer);
  const TextTools& tools = ready_model().tools;
  AnswerPlan plan{.options = std::move(request.answer),
                  .prompts = {},
                  .format = completion_format(std::move(head), *tools.tokenizer)};
  for (const Prompt& prompt : request.prompts)
    plan.prompts.push_back(completion_prompt(prompt, tools));
  begin(exchange, std::move(plan));
}

void Application::chat(const std::shared_ptr<Exchange>& exchange) {
  ChatRequest request = parse_chat_request(parse_body(exchange->request().body), limits_);
  AnswerHead head = head_for(exchange->request(), request.answer);
  const TextTools& tools = ready_model().tools;
  AnswerPlan plan{.options = request.answer,
                  .prompts = {chat_prompt(request, tools)},
                  .format = chat_format(std::move(head), *tools.tokenizer)};
  begin(exchange, std::move(plan));
}

void Application::begin(const std::shared_ptr<Exchange>& exchange, AnswerPlan plan) {
  plan.timeout_seconds = recipe_.limits.request_seconds;
  const auto answer = std::make_shared<Answer>(exchange, ready_model(), metrics_, std::move(plan));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(answers_, [](const auto& entry) { return entry.second.expired(); });
    answers_[answer.get()] = answer;
  }
  answer->start();
}

// Ready means: there is a model, no drain, and the engine makes progress on what it runs.
HttpResponse Application::health(const char* good) const {
  const ServerState state = state_;
  const ServedModel* model = model_;
  if (state != ServerState::kReady || !model)
    return json_response(503, {{"status", state_name(state)}});
  const EngineStatus status = model->engine->status();
  const bool stalled =
      status.running > 0 && status.seconds_since_last_step > recipe_.limits.stall_seconds;
  return json_response(stalled ? 503 : 200, {{"status", stalled ? "stalled" : good},
                                             {"model", model->name},
                                             {"running", status.running},
                                             {"queued", status.queued}});
}

HttpResponse Application::metrics_page() const {
  const ServedModel* model = model_;
  const MetricsNow now{.engine = model ? model->engine->status() : EngineStatus{},
                       .connections = connections_(),
                       .ready = state_ == ServerState::kReady};
  return {.status = 200,
          .body = metrics_.text(now),
          .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

HttpResponse Application::models_page() const {
  return json_response(200,
                       {{"object", "list"}, {"data", Json::array({model_json(ready_model())})}});
}

void Application::finish(const HttpRequest& request, HttpResponse& response) {
  const Match match = find_route(request.method, request.path);
  metrics_.count_response(match.route ? match.route->path : "other", response.status);
  response.headers.emplace_back("X-Request-Id", request.id);
  const std::string_view origin = request.header("Origin");
  if (!origin_allowed(origin)) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", std::string(origin));
  response.headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  response.headers.emplace_back("Vary", "Origin");
}

HttpResponse Application::http_error(int status, const std::string& message) {
  return error_response(ApiError({.status = status, .message = message}));
}

}  // namespace gradus
