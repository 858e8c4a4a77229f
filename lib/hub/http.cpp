// SPDX-License-Identifier: Apache-2.0
#include "hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <exception>
#include <mutex>

#include "base/error.h"
#include "base/signals.h"
#include "base/system.h"

namespace gradus {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaderBytes = 256 << 10;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Libcurl's URL parser, so that what we compare is what it connects to.
class Url {
 public:
  explicit Url(const std::string& text) : url_(curl_url()) { set(text); }
  ~Url() { curl_url_cleanup(url_); }
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;

  // An absolute URL, or one relative to what was set before.
  void set(const std::string& text) {
    valid_ = curl_url_set(url_, CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  }
  bool valid() const { return valid_; }
  std::string part(CURLUPart which) const {
    char* text = nullptr;
    if (!valid_ || curl_url_get(url_, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
    const std::string copy = text;
    curl_free(text);
    return copy;
  }

 private:
  CURLU* url_;
  bool valid_ = false;
};

// What the callbacks of one request share. Exceptions may not pass through C.
struct Exchange {
  CURL* curl;
  const HttpGet& request;
  HttpReply reply;
  size_t header_bytes = 0;
  bool too_large = false;
  std::exception_ptr error = nullptr;

  int status() const {
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    return static_cast<int>(code);
  }
};

size_t on_header(char* data, size_t one, size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, one * count);
  exchange.header_bytes += line.size();
  if (exchange.header_bytes > kMaxHeaderBytes) return 0;
  if (line.starts_with("HTTP/")) exchange.reply.headers.clear();
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && static_cast<unsigned char>(value.front()) <= ' ') value.remove_prefix(1);
  while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ') value.remove_suffix(1);
  exchange.reply.headers[lower(std::string(line.substr(0, colon)))] = value;
  return line.size();
}

size_t on_body(char* data, size_t one, size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view part(data, one * count);
  exchange.reply.status = exchange.status();
  const bool wanted = exchange.reply.status == 200 || exchange.reply.status == 206;
  try {
    if (wanted && exchange.request.sink) {
      exchange.request.sink(exchange.reply, part);
      return part.size();
    }
    const size_t most = wanted ? exchange.request.max_body : size_t{64} << 10;
    exchange.too_large = exchange.reply.body.size() + part.size() > most;
    if (exchange.too_large) return wanted ? 0 : part.size();
    exchange.reply.body += part;
    return part.size();
  } catch (...) {
    exchange.error = std::current_exception();
    return 0;
  }
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& exchange = *static_cast<Exchange*>(user);
  const bool cancelled = exchange.request.cancelled && exchange.request.cancelled();
  return stop_signal() != 0 || cancelled ? 1 : 0;
}

void initialise_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Where a redirect leads; what is wrong with it goes to `failure`.
std::string redirect_target(const std::string& from, const HttpReply& reply, std::string& failure) {
  Url url(from);
  const std::string scheme = url.part(CURLUPART_SCHEME);
  url.set(reply.header("location"));
  const std::string next = url.part(CURLUPART_SCHEME);
  if (!url.valid() || (next != "https" && next != "http")) {
    failure = "redirects to an address that cannot be used";
  } else if (scheme == "https" && next == "http") {
    failure = "redirects from https to http";
  }
  return url.part(CURLUPART_URL);
}

}  // namespace

struct HttpClient::Handle {
  CURL* curl = curl_easy_init();
  ~Handle() { curl_easy_cleanup(curl); }
};

std::string HttpReply::header(const std::string& name) const {
  const auto entry = headers.find(name);
  return entry == headers.end() ? "" : entry->second;
}

std::string url_origin(const std::string& url) {
  const Url parsed(url);
  const std::string scheme = parsed.part(CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return "";
  return scheme + "://" + lower(parsed.part(CURLUPART_HOST)) + ":" + parsed.part(CURLUPART_PORT);
}

void throw_if_transfer_stopped() {
  throw_if_stopped("stopped; the next run continues where this one ended");
}

HttpClient::HttpClient(const HubSettings& settings)
    : token_(settings.token), stall_seconds_(settings.stall_seconds) {
  initialise_once();
  handle_ = std::make_unique<Handle>();
  if (!handle_->curl) throw std::runtime_error("libcurl gives no handle");
  origin_ = url_origin(settings.endpoint);
}

HttpClient::~HttpClient() = default;

HttpReply HttpClient::perform(const std::string& url, const HttpGet& request) {
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);
  Exchange exchange{.curl = curl, .request = request, .reply = {}};
  const std::string agent = "gradus/" + program_version();
  const std::string authorization = "Authorization: Bearer " + token_;
  const bool ends = request.last_byte >= 0;
  const std::string range = cat(request.first_byte, "-", ends ? cat(request.last_byte) : "");
  curl_slist* headers = nullptr;
  if (!token_.empty() && url_origin(url) == origin_)
    headers = curl_slist_append(headers, authorization.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, agent.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(stall_seconds_));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(stall_seconds_));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
  if (request.first_byte > 0 || ends) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &exchange);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (exchange.error) std::rethrow_exception(exchange.error);
  throw_if_transfer_stopped();
  exchange.reply.status = exchange.status();
  if (code != CURLE_OK)
    exchange.reply.failure =
        exchange.too_large ? "the answer is too long" : curl_easy_strerror(code);
  return std::move(exchange.reply);
}

HttpReply HttpClient::get(const std::string& url, const HttpGet& request) {
  std::string at = url;
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    HttpReply reply = perform(at, request);
    reply.url = at;
    if (!reply.failure.empty() || !is_redirect(reply.status)) return reply;
    at = redirect_target(at, reply, reply.failure);
    if (!reply.failure.empty()) return reply;
  }
  HttpReply reply;
  reply.failure = cat("more than ", kMaxRedirects, " redirects");
  return reply;
}

}  // namespace gradus
